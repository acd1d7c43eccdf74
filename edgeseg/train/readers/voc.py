"""Pascal VOC 2012 segmentation: 20 classes and background; objects have a border of 255 that is not judged.

Everingham et al., "The PASCAL Visual Object Classes Challenge 2012", development kit. Layout, in SOURCE or SOURCE/VOC2012:

    JPEGImages/2007_000032.jpg   SegmentationClass/2007_000032.png   ImageSets/Segmentation/{train,val,trainval}.txt

The labels are palette pictures, which OpenCV gives as colours: they are decoded by the VOC colour map. Labels with plain ids
(SegmentationClassAug, SBD) are read from that folder for any other split, as train_aug.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2

from edgeseg.train.pictures import decode, read_bytes, read_plane
from edgeseg.train.readers.base import (
    IGNORE,
    Collection,
    Ids,
    Item,
    ItemError,
    Sample,
    first_folder,
    missing,
    read_list,
    require,
    safe_stem,
)
from edgeseg.train.readers.colours import hexadecimal, read_colours, voc_colours

CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable"),
    *("dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
COLOURS = [hexadecimal(rgb) for rgb in voc_colours()[: len(CLASSES)]]
TABLE = {tuple(map(int, rgb)): i for i, rgb in enumerate(voc_colours()) if i < len(CLASSES) or i == IGNORE}


def read(source: Path, split: str | None) -> Collection:
    """A split, `train` if none is named."""
    split = split or "train"
    root = next(
        (p for p in (source, source / "VOC2012", source / "VOCdevkit" / "VOC2012") if (p / "JPEGImages").is_dir()), source
    )
    names = read_list(first_folder(root, ["ImageSets/Segmentation"], "Pascal VOC") / f"{split}.txt")
    usual = ["SegmentationClass", "SegmentationClassAug"]
    folder = first_folder(root, usual if split in ("train", "val", "trainval") else usual[::-1], "Pascal VOC")

    def load(name: str) -> Sample:
        frame, label = root / "JPEGImages" / f"{name}.jpg", folder / f"{name}.png"
        for path in (frame, label):
            if not path.is_file():
                raise missing(str(path))
        return Sample(frame, read_label(label))

    items = [Item(s, f"voc-{s[:4]}", partial(load, s)) for s in map(safe_stem, names)]
    return Collection(CLASSES, require(items, root, f"names in {split}.txt"), person=("person",), colours=COLOURS)


def read_label(path: Path) -> Ids:
    """(h, w) ids of a label picture in the VOC colours, or with plain ids."""
    if decode(read_bytes(path), path, cv2.IMREAD_UNCHANGED).ndim == 3:
        return read_colours(path, TABLE)  # type: ignore[arg-type]
    ids = read_plane(path)
    if ((ids >= len(CLASSES)) & (ids != IGNORE)).any():
        raise ItemError("ids outside the classes", f"{path} has the id {ids[ids != IGNORE].max()}; VOC's are 0 to 20 and 255")
    return ids
