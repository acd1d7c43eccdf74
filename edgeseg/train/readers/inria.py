"""Inria Aerial Image Labeling: buildings in orthophotographs of ten cities, tiles of 5000x5000 pixels at 0.3 m.

Maggiori et al. 2017. Layout, in SOURCE or SOURCE/AerialImageDataset:

    train/images/austin1.tif      train/gt/austin1.tif: 0 or 255

Tiles are cut in squares of 500 pixels. `split` is the one the authors propose: val is tile 1 to 5 of each city, train the rest.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from edgeseg.errors import DataError
from edgeseg.train.data import Frame
from edgeseg.train.pictures import read_frame, read_plane, read_size
from edgeseg.train.readers.base import Collection, Ids, Item, ItemError, Sample, by_stem, first_folder, missing, require

CLASSES = ("background", "building")
SQUARE = 500
VALIDATION_TILES = 5


@lru_cache(maxsize=1)  # the squares of a tile come one after the other
def _tile(picture: Path, label: Path) -> tuple[Frame, Ids]:
    frame, ids = read_frame(picture), (read_plane(label) >= 128).astype(np.uint8)
    if frame.shape[:2] != ids.shape:
        raise ItemError(
            "sizes that differ", f"{picture} is {frame.shape[0]}x{frame.shape[1]}, {label} {ids.shape[0]}x{ids.shape[1]}"
        )
    return frame, ids


def read(source: Path, split: str | None) -> Collection:
    """Squares of all labelled tiles, or of a split."""
    if split not in (None, "train", "val"):
        raise DataError(f"Inria has the splits train and val, got {split}")
    root = source / "AerialImageDataset" if (source / "AerialImageDataset").is_dir() else source
    pictures = by_stem(first_folder(root, ["train/images"], "the Inria aerial data set"))
    items = []
    for stem, label in by_stem(first_folder(root, ["train/gt"], "the Inria aerial data set")).items():
        city, number = re.match(r"(.*?)(\d*)$", stem).groups()  # type: ignore[union-attr]
        if split is None or (int(number or 0) <= VALIDATION_TILES) == (split == "val"):
            items += _squares(stem, f"inria-{city}", pictures.get(stem), label)
    return Collection(CLASSES, require(items, root, "labelled tiles"))


def _squares(stem: str, city: str, picture: Path | None, label: Path) -> list[Item]:
    def absent() -> Sample:
        raise missing(f"the picture of {label}")

    def load(y: int, x: int) -> Sample:
        frame, ids = _tile(picture, label)
        cut = np.s_[y : y + SQUARE, x : x + SQUARE]
        return Sample(frame[cut], ids[cut])

    if picture is None:
        return [Item(stem, city, absent)]
    try:
        height, width = read_size(label)
    except DataError:
        return [Item(stem, city, partial(load, 0, 0))]  # which says what is wrong
    corners = [(y, x) for y in _starts(height) for x in _starts(width)]
    return [Item(f"{stem}_y{y:05}_x{x:05}", city, partial(load, y, x)) for y, x in corners]


def _starts(length: int) -> list[int]:
    """Where squares begin that cover `length`; the last one is moved back to end with it."""
    if length <= SQUARE:
        return [0]
    return [*range(0, length - SQUARE, SQUARE), length - SQUARE]
