"""Pascal Context: every pixel of VOC 2010's training pictures, 459 labels; the 59 frequent ones are the classes.

Mottaghi et al. 2014, "The role of context for object detection and semantic segmentation in the wild". Layouts, in SOURCE or
SOURCE/VOC2010, beside JPEGImages/:

    trainval/2008_000008.mat                 as published: LabelMap (h, w) uint16, ids of labels.txt; needs scipy
    SegmentationClassContext/*.png           as MMSegmentation and the Detail API convert it: 0 other, 1 to 59

ImageSets/SegmentationContext/SPLIT.txt names the pictures of a split.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from edgeseg.train.pictures import read_plane
from edgeseg.train.readers import matlab
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

CLASSES = (
    *("aeroplane", "bag", "bed", "bedclothes", "bench", "bicycle", "bird", "boat", "book", "bottle", "building", "bus"),
    *("cabinet", "car", "cat", "ceiling", "chair", "cloth", "computer", "cow", "cup", "curtain", "dog", "door", "fence"),
    *("floor", "flower", "food", "grass", "ground", "horse", "keyboard", "light", "motorbike", "mountain", "mouse"),
    *("person", "plate", "platform", "pottedplant", "road", "rock", "sheep", "shelves", "sidewalk", "sign", "sky", "snow"),
    *("sofa", "table", "track", "train", "tree", "truck", "tvmonitor", "wall", "water", "window", "wood"),
)
# The id of each class among the 459 of labels.txt.
LABELS = (
    *(2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144, 158, 159, 162),
    *(187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355, 360, 366, 368, 397, 415, 416),
    *(420, 424, 427, 440, 445, 454, 458),
)
TABLE = np.full(1 << 16, IGNORE, np.uint8)
TABLE[list(LABELS)] = np.arange(len(LABELS))


def read(source: Path, split: str | None) -> Collection:
    """A split, or every labelled picture."""
    root = next(
        (p for p in (source, source / "VOC2010", source / "VOCdevkit" / "VOC2010") if (p / "JPEGImages").is_dir()), source
    )
    frames = first_folder(root, ["JPEGImages"], "Pascal Context")
    folder = first_folder(root, ["trainval", "SegmentationClassContext"], "Pascal Context")
    labels = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in (".mat", ".png")}
    names = list(labels)
    if split:
        lists = first_folder(root, ["ImageSets/SegmentationContext", "ImageSets/Main"], "Pascal Context with splits")
        names = [safe_stem(name) for name in read_list(lists / f"{split}.txt")]

    def load(name: str) -> Sample:
        frame = frames / f"{name}.jpg"
        if name not in labels or not frame.is_file():
            raise missing(str(frame if name in labels else folder / name))
        return Sample(frame, _ids(labels[name]))

    items = [Item(s, f"pascal_context-{s[:4]}", partial(load, s)) for s in names]
    return Collection(CLASSES, require(items, root, "labelled pictures"), person=("person",))


def _ids(path: Path) -> Ids:
    if path.suffix == ".mat":
        labels: Ids = TABLE[np.clip(matlab.read_ids(path, "LabelMap"), 0, len(TABLE) - 1)]
        return labels
    ids = read_plane(path)
    if ((ids > len(CLASSES)) & (ids != IGNORE)).any():
        raise ItemError("ids outside the classes", f"{path} has the id {ids[ids != IGNORE].max()}; there are {len(CLASSES)}")
    return np.where(ids == 0, np.uint8(IGNORE), ids - (ids != IGNORE)).astype(np.uint8)
