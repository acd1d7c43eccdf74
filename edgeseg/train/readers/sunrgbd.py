"""SUN RGB-D: 10,335 rooms, 37 classes; only the colour pictures are read.

Song, Lichtenberg and Xiao 2015. Layouts:

    image/SPLIT/img-000001.jpg            label37/SPLIT/img37labels-000001.png      chrischoy/SUN_RGBD
    SUNRGBD-SPLIT_images/img-000001.jpg   sunrgbd_train_test_labels/img-005051.png  ankurhanda/sunrgbd-meta-data: the first
                                                                        5,050 labels are the test part, the others training
    **/SCENE/image/*.jpg                  **/SCENE/seg.mat: seglabel, names         as published (SUNRGBD.zip); needs scipy

0 is not labelled. Free names in seg.mat that are none of the 37 are ignored and counted.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from edgeseg.errors import DataError
from edgeseg.train.data import pictures_in
from edgeseg.train.pictures import read_plane
from edgeseg.train.readers import matlab
from edgeseg.train.readers.base import IGNORE, Collection, Item, ItemError, Sample, missing, require, safe_stem

# seg37list of SUNRGBDtoolbox
CLASSES = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture", "counter"),
    *("blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor_mat", "clothes", "ceiling", "books"),
    *("fridge", "tv", "paper", "towel", "shower_curtain", "box", "whiteboard", "person", "night_stand", "toilet", "sink"),
    *("lamp", "bathtub", "bag"),
)
TEST_PICTURES = 5050
LABEL_FOLDERS = ("label37/{}", "sunrgbd_train_test_labels", "{}37labels", "labels/{}", "labels")
PICTURE_FOLDERS = ("image/{}", "SUNRGBD-{}_images", "images/{}", "images")


def read(source: Path, split: str | None) -> Collection:
    """A split (train or test), `train` if none is named; every scene where the layout is the published one."""
    part = split or "train"
    pictures = next((source / f.format(part) for f in PICTURE_FOLDERS if (source / f.format(part)).is_dir()), None)
    labels = next((source / f.format(part) for f in LABEL_FOLDERS if (source / f.format(part)).is_dir()), None)
    if pictures and labels:
        items = _numbered(pictures, labels, part)
    elif split:
        raise DataError(f"{source} has no pictures and labels of a split {split}; the layout as published has no splits")
    else:
        items = [_scene(source, path) for path in sorted(source.rglob("seg.mat"))]
    return Collection(CLASSES, require(items, source, "img-*.jpg with labels, and no seg.mat"), person=("person",))


def _numbered(pictures: Path, labels: Path, part: str) -> list[Item]:
    by_number = {_number(path): path for path in pictures_in(labels)}
    shift = TEST_PICTURES if part == "train" and max(by_number, default=0) > TEST_PICTURES and labels.name != part else 0

    def load(path: Path) -> Sample:
        label = by_number.get(_number(path) + shift)
        if label is None:
            raise missing(f"the label of {path}")
        ids = read_plane(label)
        if ids.max() > len(CLASSES):
            raise ItemError("ids outside the classes", f"{label} has the id {ids.max()}; there are {len(CLASSES)}")
        return Sample(path, ids - np.uint8(1))  # 0, which is not labelled, becomes 255

    return [Item(f"{part}_{p.stem}", f"sunrgbd-{part}", partial(load, p)) for p in pictures_in(pictures)]


def _number(path: Path) -> int:
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else -1


def _scene(source: Path, path: Path) -> Item:
    scene = path.parent.relative_to(source)

    def load() -> Sample:
        found = pictures_in(path.parent / "image") if (path.parent / "image").is_dir() else []
        if not found:
            raise missing(f"{path.parent / 'image'}/*.jpg")
        names = [name.strip().lower().replace(" ", "_") for name in matlab.read_names(path, "names")]
        ids = matlab.read_ids(path, "seglabel")
        table = np.full(len(names) + 1, IGNORE, np.uint8)
        for i, name in enumerate(names):
            if name in CLASSES:
                table[i + 1] = CLASSES.index(name)
        if ids.min(initial=0) < 0 or ids.max(initial=0) > len(names):
            raise ItemError("ids outside the classes", f"{path} has ids {ids.min()} to {ids.max()}; it names {len(names)}")
        unknown = [names[i - 1] for i in np.unique(ids) if i and table[i] == IGNORE]
        return Sample(found[0], table[ids], unknown)

    return Item(safe_stem(scene.as_posix()), f"sunrgbd-{scene.parts[0] if scene.parts else 'scene'}", load)
