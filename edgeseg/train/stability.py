"""How steady a mask is in a video: the share of pixels that flip from one frame to the next where nothing gives cause to.

No truth is needed. What moves at the outline is not judged: a pixel within `BORDER` of the outline of both frames. A spot
that appears or goes away is far from the outline of one of the two, and so it counts, however small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import cv2
import numpy as np

from edgeseg.train.data import Frame
from edgeseg.train.distance import Mask, distance_to

BORDER = 3.0  # pixels
STILL = 8  # of 255: what changes by less, after a blur against sensor noise, stands still
PLANE = 320  # longer side of the frames that optical flow is found in


class Stability:
    """Accumulates the frames of one video, in order; `result()` at any time."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._mask: Mask | None = None
        self._flips: list[float] = []
        self._still = np.zeros(2, np.int64)  # flipped, judged
        self._warped = np.zeros(2, np.int64)

    def add(self, frame: Frame, mask: Mask) -> None:
        """A frame (h, w, 3) uint8 BGR and its mask (h, w), of the size of those before."""
        if self._frame is not None and self._mask is not None:
            flips = flipped(self._mask, mask)
            self._flips.append(float(flips.mean()))
            still = unchanged(self._frame, frame)
            self._still += (int((flips & still).sum()), int(still.sum()))
            before, seen = follow(self._frame, frame, self._mask)
            self._warped += (int((flipped(before, mask) & seen).sum()), int(seen.sum()))
        self._frame, self._mask = frame, mask

    def result(self) -> dict[str, Any]:
        """Shares in 0..1, None where nothing could be judged.

        frames        how many there were
        flips         mean over pairs of frames: pixels that flipped outside the border / pixels
        flips_95      95th percentile of the same
        flips_still   the same of all pixels where the picture stood still
        flips_warped  the same where the earlier mask first follows the optical flow, of all pixels that could be followed
        """
        return {
            "frames": len(self._flips) + (self._frame is not None),
            "flips": float(np.mean(self._flips)) if self._flips else None,
            "flips_95": float(np.percentile(self._flips, 95)) if self._flips else None,
            "flips_still": _share(*self._still),
            "flips_warped": _share(*self._warped),
        }


def measure(
    frames: Iterable[Frame], masks: Callable[[Frame], Mapping[str, Mask]], on_frame: Callable[[], object] | None = None
) -> dict[str, dict[str, Any]]:
    """`Stability.result()` of each kind of mask that `masks` makes of a frame."""
    found: dict[str, Stability] = {}
    for frame in frames:
        for kind, mask in masks(frame).items():
            found.setdefault(kind, Stability()).add(frame, mask)
        if on_frame:
            on_frame()
    return {kind: stability.result() for kind, stability in found.items()}


def flipped(before: Mask, after: Mask) -> Mask:
    """(h, w): pixels that differ and are not within `BORDER` of the outlines of both."""
    flips: Mask = before != after
    return flips & ~(beside_outline(before) & beside_outline(after))


def beside_outline(mask: Mask) -> Mask:
    """(h, w): pixels at most `BORDER` pixels inside or outside the outline, which runs between pixels."""
    if not mask.any() or mask.all():
        return np.zeros(mask.shape, bool)
    to_outline = np.where(mask, distance_to(~mask), distance_to(mask))
    return np.asarray(to_outline <= BORDER, np.bool_)


def unchanged(before: Frame, after: Frame) -> Mask:
    """(h, w): where neither the pixel nor one within `BORDER` pixels of it has changed."""
    one, other = (cv2.GaussianBlur(frame, (5, 5), 0) for frame in (before, after))
    changed = (cv2.absdiff(one, other).max(axis=2) > STILL).astype(np.uint8)
    reach = 2 * int(BORDER) + 1
    return ~cv2.dilate(changed, np.ones((reach, reach), np.uint8)).astype(bool)


def follow(before: Frame, after: Frame, mask: Mask) -> tuple[Mask, Mask]:
    """`mask` of `before`, moved to where its pixels are in `after` by dense optical flow (DIS, Kroeger et al. 2016), and where
    that could be done: the moved picture looks like `after` there.
    """
    height, width = mask.shape
    scale = min(1.0, PLANE / max(height, width))
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    gray = [cv2.cvtColor(cv2.resize(f, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY) for f in (after, before)]
    start = np.zeros((*gray[0].shape, 2), np.float32)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(gray[0], gray[1], start)
    flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y = x + flow[..., 0] * np.float32(width / size[0]), y + flow[..., 1] * np.float32(height / size[1])
    moved = cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    carried = cv2.remap(mask.astype(np.uint8), x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return carried.astype(bool), unchanged(np.asarray(moved, np.uint8), after) & inside


def _share(part: int, whole: int) -> float | None:
    return float(part) / float(whole) if whole else None


def to_table(clips: list[dict[str, Any]]) -> str:
    """For a terminal: a row a clip and kind of mask, in percent of the pixels a frame."""
    names = ("flips", "flips_95", "flips_still", "flips_warped")
    rows = [("clip", "smoothing", "frames", *names)]
    for clip in clips:
        for kind, values in clip["smoothing"].items():
            shares = ("-" if values[name] is None else f"{100 * values[name]:.3f} %" for name in names)
            rows.append((clip["clip"], kind, str(values["frames"]), *shares))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
