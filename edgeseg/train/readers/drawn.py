"""Pictures with shapes drawn by hand, whichever tool they were drawn in: later shapes lie over earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edgeseg.train.data import Frame
from edgeseg.train.pictures import read_frame
from edgeseg.train.readers import shapes
from edgeseg.train.readers.base import IGNORE, Collection, Item, Sample, require
from edgeseg.train.truth import VOID

BACKGROUND = {"background", "_background_"}
IGNORED = {*VOID, "__ignore__", "_ignore_"}  # __ignore__ is LabelMe's


@dataclass(frozen=True)
class Shape:
    """A class name and what fills its pixels into a mask; None for a shape without an area (a point)."""

    label: str
    draw: Callable[[shapes.Mask], None] | None


@dataclass(frozen=True)
class Drawing:
    """A picture with its shapes; `size` is the (height, width) that the annotation claims, None where it does not say."""

    picture: Path | Frame
    size: tuple[object, object] | None
    shapes: Sequence[Shape]


def class_names(labels: Iterable[str]) -> list[str]:
    """background and the labels that are classes, by name."""
    return ["background", *sorted({name for name in labels if name and name.lower() not in BACKGROUND | IGNORED})]


def collect(source: Path, names: list[str], loaders: Iterable[tuple[str, str, Callable[[], Drawing]]]) -> Collection:
    """A collection of (stem, source, loader) with classes as `class_names` gives them."""
    index = {name: i for i, name in enumerate(names)}
    index.update(dict.fromkeys(BACKGROUND, 0))

    def load(loader: Callable[[], Drawing]) -> Sample:
        drawing = loader()
        picture = drawing.picture
        size = drawing.size or (read_frame(picture) if isinstance(picture, Path) else picture).shape[:2]
        ids = np.zeros(shapes.canvas(*size).shape, np.uint8)
        unknown = []
        for shape in drawing.shapes:
            number = IGNORE if shape.label.lower() in IGNORED else index.get(shape.label)
            if number is None or shape.draw is None:
                unknown.append(shape.label or "(no name)")
                continue
            mask = np.zeros(ids.shape, bool)
            shape.draw(mask)
            ids[mask] = number
        return Sample(picture, ids, unknown)

    items = [Item(stem, sitting, partial(load, loader)) for stem, sitting, loader in loaders]
    person = [name for name in names if name.lower() == "person"]
    return Collection(names, require(items, source, "annotated pictures"), person=person)
