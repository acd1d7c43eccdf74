"""LiTS: the liver and its tumours in computed tomography, slice by slice.

Bilic et al. 2019, "The liver tumor segmentation benchmark". Layouts:

    **/volume-0.nii[.gz]       **/segmentation-0.nii[.gz]     as published: Hounsfield units; 0, 1 liver, 2 tumour
    images/*.png               masks/*.png (or labels/)       slices with the same stems; 0, 1, 2 or 0, 127 (128), 255

Hounsfield units from -160 to 240, the window in which soft tissue is looked at, become 0 to 255. Slices are (y, x) as stored.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from edgeseg.errors import DataError
from edgeseg.train.pictures import read_plane
from edgeseg.train.readers.base import Collection, Item, ItemError, Sample, by_stem, first_folder, missing, no_splits, require
from edgeseg.train.readers.nifti import Volume

CLASSES = ("background", "liver", "tumour")
WINDOW = (-160.0, 240.0)
PNG_VALUES = {0: 0, 1: 1, 2: 2, 127: 1, 128: 1, 255: 2}


def read(source: Path, split: str | None) -> Collection:
    """Every slice that has a truth; the set has no splits."""
    no_splits(split, "LiTS")
    if (source / "images").is_dir():
        items = _pictures(source)
    else:
        items = [item for path in _volumes(source, "segmentation-") for item in _slices(source, path)]
    return Collection(CLASSES, require(items, source, "segmentation-*.nii, and no images/"))


def _volumes(source: Path, prefix: str) -> list[Path]:
    return sorted(path for path in source.rglob(f"{prefix}*") if path.name.endswith((".nii", ".nii.gz")))


@lru_cache(maxsize=2)
def _open(path: Path) -> Volume:
    return Volume(path)


def _slices(source: Path, truth: Path) -> list[Item]:
    name = truth.name.removesuffix(".gz").removesuffix(".nii").replace("segmentation-", "volume-")
    found = next((p for p in _volumes(source, name) if p.name in (f"{name}.nii", f"{name}.nii.gz")), None)

    def load(z: int) -> Sample:
        if found is None:
            raise missing(f"{name}.nii of {truth}")
        volume, segmentation = _open(found), _open(truth)
        sizes = [(v.header.slices, v.header.height, v.header.width) for v in (volume, segmentation)]
        if sizes[0] != sizes[1]:
            raise ItemError("sizes that differ", f"{found} is {sizes[0]}, {truth} {sizes[1]} (slices, height, width)")
        ids = segmentation.slice(z)
        if not np.isin(ids, (0, 1, 2)).all():
            raise ItemError("ids outside the classes", f"{truth}, slice {z}: ids must be 0, 1 or 2")
        low, high = WINDOW
        grey = np.clip((volume.slice(z) - low) * (255 / (high - low)), 0, 255).round().astype(np.uint8)
        return Sample(np.repeat(grey[..., None], 3, axis=2), ids.astype(np.uint8))

    try:
        count = _open(truth).header.slices
    except DataError:
        count = 1  # whose loading says what is wrong
    return [Item(f"{name}_z{z:04}", f"lits-{name}", partial(load, z)) for z in range(count)]


def _pictures(source: Path) -> list[Item]:
    pictures = by_stem(source / "images")
    table = np.full(256, len(CLASSES), np.uint8)
    table[list(PNG_VALUES)] = list(PNG_VALUES.values())

    def load(stem: str, path: Path) -> Sample:
        if stem not in pictures:
            raise missing(f"{source / 'images' / stem}.png")
        ids = table[read_plane(path)]
        if (ids == len(CLASSES)).any():
            raise ItemError("ids outside the classes", f"{path}: values must be 0, 1, 2 or 0, 127, 255")
        return Sample(pictures[stem], ids)

    truth = by_stem(first_folder(source, ["masks", "labels"], "LiTS in slices"))
    return [Item(s, "lits", partial(load, s, p)) for s, p in truth.items()]
