"""The pictures that a quantised file gets most wrong: each as it is, with the truth, by the float network, by the file."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.errors import DataError
from edgeseg.runtime.arrays import Frame

COUNT = 8  # pictures
TILE = 220  # pixels of the longer side
GAP, LINE = 6, 20
QUALITY = 85  # of the JPEG
IGNORE = 255  # a truth that is not judged
STRENGTH = 0.55
PAPER, INK = 255, (40, 40, 40)

Ids = npt.NDArray[Any]  # (h, w) class ids
Predict = Callable[[Frame], Ids]


def worst_sheet(
    pictures: Iterable[tuple[str, Frame, Ids]], quantised: Predict, reference: Predict, count: int = COUNT
) -> tuple[bytes, list[str]]:
    """(JPEG, names from the worst on) of the `count` pictures on which `quantised` has the least mean IoU.

    pictures   (name, frame (h, w, 3) uint8 BGR, truth (h, w)); 255 in the truth is not judged
    reference  what it should be no worse than: the float network
    """
    worst: list[tuple[float, int, str, Frame, Ids, Ids]] = []  # a heap, the best of the worst first
    for i, (name, frame, truth) in enumerate(pictures):
        found = quantised(frame)
        entry = (-mean_iou(found, truth), i, name, frame, truth, found)
        (heapq.heappush if len(worst) < count else heapq.heappushpop)(worst, entry)
    if not worst:
        raise DataError("there is nothing to show: no pictures")
    ordered = sorted(worst, reverse=True)
    rows = []
    for score, _, name, frame, truth, found in ordered:
        by_float = reference(frame)
        titles = (name, "truth", f"float: IoU {mean_iou(by_float, truth):.3f}", f"int8: IoU {-score:.3f}")
        shown = (frame, *(_tinted(frame, ids) for ids in (truth, by_float, found)))
        rows.append(np.concatenate([_tile(picture, title) for picture, title in zip(shown, titles, strict=True)], axis=1))
    _, data = cv2.imencode(".jpg", np.concatenate(rows), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes(), [entry[2] for entry in ordered]


def mean_iou(ids: Ids, truth: Ids) -> float:
    """Over the classes that are in either, where the truth is known; 1 where nothing is to be known."""
    known = truth != IGNORE
    found, wanted = ids[known], truth[known]
    scores = [
        np.logical_and(found == c, wanted == c).sum() / np.logical_or(found == c, wanted == c).sum()
        for c in np.union1d(found, wanted)
    ]
    return float(np.mean(scores)) if scores else 1.0


def _tinted(frame: Frame, ids: Ids) -> Frame:
    """Classes but the first as colours over the frame; what is not judged is white."""
    hues = (np.arange(256) * 67 + 60) % 180  # far apart for neighbours; a person (1) is blue
    hsv = np.stack([hues, np.full(256, 220), np.full(256, 255)], axis=1).astype(np.uint8)
    colours = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2BGR)[0]
    colours[IGNORE] = PAPER
    strength = np.where(ids == 0, 0.0, STRENGTH)[..., None]
    return np.asarray((frame * (1 - strength) + colours[ids.astype(np.uint8)] * strength).round(), np.uint8)


def _tile(picture: Frame, title: str) -> Frame:
    height, width = picture.shape[:2]
    scale = TILE / max(height, width)
    small = cv2.resize(picture, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
    tile = np.full((small.shape[0] + LINE + GAP, TILE + GAP, 3), PAPER, np.uint8)
    tile[LINE : LINE + small.shape[0], : small.shape[1]] = small
    while cv2.getTextSize(title, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0] > TILE:
        title = title[:-2] + "~"
    cv2.putText(tile, title, (1, LINE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
    return tile
