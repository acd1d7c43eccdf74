"""Clothing Co-Parsing: street fashion, 1,004 photographs whose pixels are labelled with 58 garments, skin and hair.

Yang, Luo and Lin 2014; README of bearpaw/clothing-co-parsing. Layout:

    photos/0001.jpg    annotations/pixel-level/0001.mat: groundtruth (h, w)    label_list.mat: label_list, 59 names

Label i is the i-th name, counted from 0; 0 ("null") is the background. Whatever is worn or carried belongs to the person. Needs
scipy.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from edgeseg.train.readers import matlab
from edgeseg.train.readers.base import Collection, Item, ItemError, Sample, first_folder, missing, no_splits, require


def read(source: Path, split: str | None) -> Collection:
    """Every photograph with labelled pixels; the set has no splits."""
    no_splits(split, "CCP")
    photos = first_folder(source, ["photos"], "CCP")
    truth = first_folder(source, ["annotations/pixel-level"], "CCP")
    names = ["background", *matlab.read_names(source / "label_list.mat", "label_list")[1:]]

    def load(path: Path) -> Sample:
        photo = photos / f"{path.stem}.jpg"
        if not photo.is_file():
            raise missing(str(photo))
        ids = matlab.read_ids(path, "groundtruth")
        if ids.min(initial=0) < 0 or ids.max(initial=0) >= len(names):
            raise ItemError(
                "ids outside the classes", f"{path} has ids {ids.min()} to {ids.max()}; there are {len(names)} names"
            )
        return Sample(photo, ids.astype(np.uint8))

    items = [Item(f"ccp_{p.stem}", "ccp", partial(load, p)) for p in sorted(truth.glob("*.mat"))]
    return Collection(names, require(items, truth, ".mat files"), person=names[1:])
