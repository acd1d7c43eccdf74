"""One picture to one segmentation picture: a matte of a person, or the ids of many classes, at the picture's own size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.errors import DataError, UsageError
from edgeseg.runtime.arrays import Frame
from edgeseg.runtime.capture.source import list_pictures
from edgeseg.runtime.refinement.refiner import refine
from edgeseg.runtime.session import Session

# Above this many values the enlarged classes are taken one at a time: a picture of 48 megapixels and 21 classes is 4 GB.
WHOLE_VALUES = 20_000_000


def is_matting(session: Session) -> bool:
    """Whether `segment` gives a matte: the model tells person from background and nothing else."""
    return session.spec.person_class is not None and len(session.spec.classes) == 2


def segment(session: Session, frame: Frame) -> npt.NDArray[np.uint8]:
    """(h, w) uint8 for `frame` (h, w, 3): a refined matte with 255 for the person, or for other models class ids."""
    session = session.for_frame(frame)
    if is_matting(session):
        return refine(frame, session.matte(frame))
    return class_picture(session, frame)


def class_picture(session: Session, frame: Frame) -> npt.NDArray[np.uint8]:
    """(h, w) uint8 class ids: the logits are enlarged and then compared, which gives smooth borders."""
    height, width = frame.shape[:2]
    logits = session.logits(frame)
    if session.spec.output == "class_ids":
        ids = session.ids_of(logits).astype(np.uint8)
        return cv2.resize(ids, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)  # type: ignore[return-value]
    if height * width * logits.shape[2] <= WHOLE_VALUES:
        full = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
        return session.ids_of(full.reshape(height, width, -1)).astype(np.uint8)  # type: ignore[arg-type]
    if logits.shape[2] == 1:
        return session.ids_of(cv2.resize(logits[..., 0], (width, height))[..., None]).astype(np.uint8)  # type: ignore[arg-type]
    best = np.full((height, width), -np.inf, np.float32)
    ids = np.zeros((height, width), np.uint8)
    for index in range(logits.shape[2]):
        plane = cv2.resize(np.ascontiguousarray(logits[..., index]), (width, height), interpolation=cv2.INTER_LINEAR)
        better = plane > best
        best[better] = plane[better]
        ids[better] = index
    return ids


def pair_outputs(paths: Iterable[Path], folder: Path) -> list[tuple[Path, Path]]:
    """(picture, its output `folder`/<stem>.png) for pictures and folders of pictures, checked before any work is done.

    Raises DataError for a path that does not exist or a folder without pictures, UsageError where two would share an
    output, or an output would overwrite a picture.
    """
    pairs: list[tuple[Path, Path]] = []
    taken: dict[Path, Path] = {}
    for picture in _each(paths):
        target = folder / f"{picture.stem}.png"
        if target in taken:
            raise UsageError(f"{taken[target]} and {picture} would both be written to {target}; segment them into two folders")
        if target.exists() and target.samefile(picture):
            raise UsageError(f"the result would overwrite {picture}; choose another folder with -o")
        taken[target] = picture
        pairs.append((picture, target))
    return pairs


def _each(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from list_pictures(path)
        elif path.exists():
            yield path
        else:
            raise DataError(f"input {path} does not exist; give pictures or folders of pictures")
