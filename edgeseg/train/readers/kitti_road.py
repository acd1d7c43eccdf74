"""KITTI road: the drivable area of 289 frames, in three kinds of road (um, umm, uu).

Fritsch, Kühnl and Geiger 2013, "A new performance measure and evaluation benchmark for road detection algorithms". Layout, in
SOURCE or SOURCE/training:

    image_2/um_000000.png      gt_image_2/um_road_000000.png        um_lane_*.png (the own lane) are not read

Of the truth's colours, blue is set where there is road and red where a pixel counts at all (devkit_road, helper.py):
magenta is road, red is not, black is not judged.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edgeseg.train.data import pictures_in
from edgeseg.train.pictures import decode, read_bytes
from edgeseg.train.readers.base import IGNORE, Collection, Item, Sample, first_folder, missing, require

CLASSES = ("background", "road")


def read(source: Path, split: str | None) -> Collection:
    """All frames with truth; `split` is a kind of road: um, umm or uu."""
    root = source / "training" if (source / "training").is_dir() else source
    frames = first_folder(root, ["image_2"], "KITTI road")
    truth = first_folder(root, ["gt_image_2"], "KITTI road")

    def load(kind: str, number: str, label: Path) -> Sample:
        frame = frames / f"{kind}_{number}.png"
        if not frame.is_file():
            raise missing(str(frame))
        bgr = np.asarray(decode(read_bytes(label), label, cv2.IMREAD_COLOR), np.uint8)
        return Sample(frame, np.where(bgr[..., 2] > 0, (bgr[..., 0] > 0).astype(np.uint8), np.uint8(IGNORE)))

    items = []
    for label in pictures_in(truth):
        kind, road, number = (*label.stem.split("_"), "", "")[:3]
        if road == "road" and split in (None, kind):
            item = Item(f"{kind}_{number}", f"kitti_road-{kind}", partial(load, kind, number, label))
            items.append(item)
    return Collection(CLASSES, require(items, truth, f"truth {split or '*'}_road_*.png"), colours=("#ff0000", "#ff00ff"))
