"""COCO instances: 80 classes of objects, drawn over each other as one picture of classes; the rest is background.

Lin et al. 2014; format: cocodataset.org, "Data format". Layout:

    annotations/instances_SPLIT.json       SPLIT/*.jpg, or images/SPLIT/*.jpg, or images/*.jpg

Categories keep their order by id. Small objects lie over large ones (by `area`). Crowd regions, which hold many objects and
what is between them, are ignored where no object lies over them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.errors import DataError
from edgeseg.train.readers import rle, shapes
from edgeseg.train.readers.base import (
    IGNORE,
    Collection,
    Ids,
    Item,
    Sample,
    inside,
    missing,
    read_json,
    require,
    safe_stem,
)

Record = dict[str, Any]


def read(source: Path, split: str | None) -> Collection:
    """A split (train2017, val2017); the only one there is if none is named."""
    path, split = find_annotations(source, "instances", split)
    pictures, by_picture, categories = read_annotations(path)
    index = {number: i + 1 for i, number in enumerate(categories)}
    names = ["background", *categories.values()]

    def paint(ids: Ids, found: list[Record]) -> list[str]:
        return draw(ids, found, index)

    items = make_items(source, split, pictures, by_picture, "coco", 0, paint)
    return Collection(names, require(items, path, "pictures"), person=("person",))


def find_annotations(source: Path, kind: str, split: str | None) -> tuple[Path, str]:
    """annotations/KIND_SPLIT.json and its split; DataError lists the splits where none, or none of several, is named."""
    found = {p.stem.removeprefix(f"{kind}_"): p for p in sorted((source / "annotations").glob(f"{kind}_*.json"))}
    if split is None and len(found) == 1:
        split = next(iter(found))
    if split not in found:
        have = f"has the splits {', '.join(found)}; choose one with --split" if found else f"has no annotations/{kind}_*.json"
        raise DataError(f"{source} {have}")
    return found[split], split


def read_annotations(path: Path) -> tuple[list[Record], dict[Any, list[Record]], dict[Any, str]]:
    """Pictures, annotations by picture, and names by category id in order. DataError where the format is another."""
    document = read_json(path)
    try:
        pictures = [dict(record) for record in document["images"]]
        categories = {record["id"]: str(record["name"]) for record in sorted(document["categories"], key=lambda r: r["id"])}
        by_picture: dict[Any, list[Record]] = {record["id"]: [] for record in pictures}
        for record in document["annotations"]:
            by_picture.setdefault(record["image_id"], []).append(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not in COCO's format: images, categories and annotations with ids ({error!r})") from None
    return pictures, by_picture, categories


def make_items(
    source: Path,
    split: str,
    pictures: list[Record],
    by_picture: dict[Any, list[Record]],
    name: str,
    fill: int,
    paint: Callable[[Ids, list[Record]], list[str]],
) -> list[Item]:
    """An item for each picture; `paint` draws its annotations into ids that are `fill` and names those left out."""

    def load(record: Record) -> Sample:
        file = str(record.get("file_name"))
        places = ((split, file), ("images", split, file), ("images", file), (file,))
        picture = next((p for p in (inside(source, *place) for place in places) if p), None)
        if picture is None:
            raise missing(file)
        ids = np.full(shapes.canvas(record.get("height"), record.get("width")).shape, fill, np.uint8)
        unknown = paint(ids, by_picture[record["id"]])
        return Sample(picture, ids, unknown)

    return [Item(safe_stem(str(r.get("file_name"))), f"{name}-{split}", partial(load, r)) for r in pictures]


def draw(ids: Ids, annotations: list[Record], index: dict[Any, int]) -> list[str]:
    """Draw annotations into `ids`, crowds first and small ones last. Gives the categories that `index` lacks."""
    crowds = np.zeros(ids.shape, bool)
    objects = np.zeros(ids.shape, bool)
    unknown = []
    for record in sorted(annotations, key=_area, reverse=True):
        category = record.get("category_id")
        number = index.get(category) if isinstance(category, int | str) else None
        if number is None:
            unknown.append(f"category {category}")
            continue
        mask = read_segmentation(record.get("segmentation"), *ids.shape)
        if record.get("iscrowd"):
            crowds |= mask
        else:
            ids[mask] = number
            objects |= mask
    ids[crowds & ~objects] = IGNORE
    return unknown


def _area(record: Record) -> float:
    area = record.get("area")
    return float(area) if isinstance(area, int | float) else 0.0


def read_segmentation(segmentation: object, height: int, width: int) -> shapes.Mask:
    """The mask of polygons [[x, y, ...], ...], or of run lengths, compressed or not. ItemError where it cannot be drawn."""
    if not isinstance(segmentation, list):
        return rle.decode(segmentation, height, width)
    mask = shapes.canvas(height, width)
    for points in segmentation:
        part = np.zeros_like(mask)  # parts are joined: they may overlap, and even-odd would cut that out
        shapes.polygon(part, points)
        mask |= part
    return mask
