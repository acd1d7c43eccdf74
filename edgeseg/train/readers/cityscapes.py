"""Cityscapes: street scenes of 50 cities, 34 label ids -> the 19 train ids.

Cordts et al. 2016; ids as in cityscapesScripts, helpers/labels.py. Layout:

    leftImg8bit/SPLIT/CITY/CITY_000000_000019_leftImg8bit.png
    gtFine/SPLIT/CITY/CITY_000000_000019_gtFine_labelIds.png      gtCoarse is read where gtFine is absent
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from edgeseg.train.pictures import read_plane
from edgeseg.train.readers.base import IGNORE, Collection, Item, Sample, first_folder, missing, require

# label id, name, colour; the position is the train id
TRAIN_IDS = (
    (7, "road", "#804080"),
    (8, "sidewalk", "#f423e8"),
    (11, "building", "#464646"),
    (12, "wall", "#66669c"),
    (13, "fence", "#be9999"),
    (17, "pole", "#999999"),
    (19, "traffic light", "#faaa1e"),
    (20, "traffic sign", "#dcdc00"),
    (21, "vegetation", "#6b8e23"),
    (22, "terrain", "#98fb98"),
    (23, "sky", "#4682b4"),
    (24, "person", "#dc143c"),
    (25, "rider", "#ff0000"),
    (26, "car", "#00008e"),
    (27, "truck", "#000046"),
    (28, "bus", "#003c64"),
    (31, "train", "#005064"),
    (32, "motorcycle", "#0000e6"),
    (33, "bicycle", "#770b20"),
)
TABLE = np.full(256, IGNORE, np.uint8)
TABLE[[row[0] for row in TRAIN_IDS]] = np.arange(len(TRAIN_IDS))


def read(source: Path, split: str | None) -> Collection:
    """A split, `train` if none is named. The source of a frame is its city."""
    split = split or "train"
    truth = first_folder(source, [f"gtFine/{split}", f"gtCoarse/{split}"], f"Cityscapes with a split {split}")
    frames = first_folder(source, [f"leftImg8bit/{split}"], f"Cityscapes with a split {split}")

    def load(label: Path, stem: str) -> Sample:
        frame = frames / label.parent.name / f"{stem}_leftImg8bit.png"
        if not frame.is_file():
            raise missing(str(frame))
        return Sample(frame, TABLE[read_plane(label)])

    items = []
    for label in sorted(truth.glob("*/*_labelIds.png")):
        stem = label.name.rsplit("_", 2)[0]
        items.append(Item(stem, f"cityscapes-{label.parent.name}", partial(load, label, stem)))
    names, colours = [row[1] for row in TRAIN_IDS], [row[2] for row in TRAIN_IDS]
    return Collection(names, require(items, truth, "*_labelIds.png"), person=("person", "rider"), colours=colours)
