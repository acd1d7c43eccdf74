"""CVAT for images 1.1: annotations.xml beside images/.

Format: docs.cvat.ai, "XML annotation format". polygon, box (with a rotation), ellipse and mask (run lengths, row by row within
its box, zeros first); a higher z_order lies over a lower one. What has no area (polylines, points, cuboids) is counted.
A document type, with which an xml of some bytes can expand to gigabytes or read other files, is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from xml.parsers import expat

from edgeseg.errors import DataError
from edgeseg.train.pictures import read_bytes
from edgeseg.train.readers import shapes
from edgeseg.train.readers.base import Collection, inside, missing, safe_stem
from edgeseg.train.readers.drawn import Drawing, Shape, class_names, collect

MAX_XML_BYTES = 1 << 30
NO_AREA = {"points", "polyline", "cuboid", "skeleton", "tag"}  # types of labels that no pixel belongs to
SHAPES = ("polygon", "box", "ellipse", "mask", "polyline", "points", "cuboid", "skeleton")

Attributes = dict[str, str]
Picture = tuple[Attributes, list[tuple[str, Attributes]]]  # of <image>, and the kind and attributes of its shapes


def read(source: Path, split: str | None) -> Collection:
    """Every picture of SOURCE/annotations.xml (or of SOURCE, an xml); `split` is its `subset`."""
    path = source if source.is_file() else source / "annotations.xml"
    pictures, labels = parse(path)
    labels |= {attributes.get("label", "") for _, found in pictures for kind, attributes in found if kind in DRAW}
    chosen = [p for p in pictures if split is None or p[0].get("subset") == split]
    loaders = [
        (safe_stem(image.get("name", "")), f"cvat-{image.get('subset') or 'task'}", partial(_load, path.parent, image, found))
        for image, found in chosen
    ]
    return collect(path, class_names(labels), loaders)


def parse(path: Path) -> tuple[list[Picture], set[str]]:
    """Pictures with their shapes, and the label names of the task. DataError for a file that is not such an xml."""
    pictures: list[Picture] = []
    labels: set[str] = set()
    label = {"name": "", "type": ""}
    where: list[str] = []
    text: list[str] = []

    def start(tag: str, attributes: Attributes) -> None:
        where.append(tag)
        text.clear()
        if tag == "track":
            raise DataError(f"{path} holds the tracks of a video; export it as CVAT for images 1.1")
        if tag == "label":
            label.update(name="", type="")
        elif tag == "image":
            pictures.append((attributes, []))
        elif tag in SHAPES and where[-2:-1] == ["image"]:
            pictures[-1][1].append((tag, attributes))

    def end(tag: str) -> None:
        if where[-2:-1] == ["label"] and tag in label:
            label[tag] = "".join(text).strip()
        elif tag == "label" and label["type"] not in NO_AREA:
            labels.add(label["name"])
        where.pop()

    def refuse(*_: object) -> None:
        raise DataError(f"{path} declares a document type, which CVAT never does; it is not read")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text.append
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(read_bytes(path, MAX_XML_BYTES), True)
    except expat.ExpatError as error:
        raise DataError(f"{path} is not xml that can be read ({error})") from None
    return pictures, labels


def _load(folder: Path, image: Attributes, found: list[tuple[str, Attributes]]) -> Drawing:
    name, subset = image.get("name", ""), image.get("subset", "")
    places = (("images", subset, name), ("images", name), (subset, name), (name,))
    picture = next((p for p in (inside(folder, *place) for place in places) if p), None)
    if picture is None:
        raise missing(name)
    ordered = sorted(found, key=lambda shape: _number(shape[1], "z_order", 0.0))
    drawn = [Shape(a.get("label", ""), partial(DRAW[kind], a) if kind in DRAW else None) for kind, a in ordered]
    return Drawing(picture, (int(_number(image, "height")), int(_number(image, "width"))), drawn)


def _number(attributes: Attributes, name: str, default: float = math.nan) -> float:
    try:
        value = float(attributes.get(name, default))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise shapes.bad_shape(f"{name} must be a number, got {attributes.get(name, 'nothing')[:40]}")
    return value


def _polygon(a: Attributes, mask: shapes.Mask) -> None:
    shapes.polygon(mask, [pair.split(",") for pair in a.get("points", "").split(";") if pair])


def _box(a: Attributes, mask: shapes.Mask) -> None:
    corners = [(_number(a, x), _number(a, y)) for x, y in (("xtl", "ytl"), ("xbr", "ybr"))]
    shapes.rectangle(mask, corners[0], corners[1], _number(a, "rotation", 0.0))


def _ellipse(a: Attributes, mask: shapes.Mask) -> None:
    centre, radii = ((_number(a, x), _number(a, y)) for x, y in (("cx", "cy"), ("rx", "ry")))
    shapes.ellipse(mask, centre, radii, math.radians(_number(a, "rotation", 0.0)))


def _mask(a: Attributes, mask: shapes.Mask) -> None:
    left, top, width, height = (int(_number(a, name)) for name in ("left", "top", "width", "height"))
    if left < 0 or top < 0 or left + width > mask.shape[1] or top + height > mask.shape[0]:
        raise shapes.bad_shape(f"a mask of {height}x{width} at ({left}, {top}) in a picture of {mask.shape}")
    counts = list(_integers(a.get("rle", "")))
    mask[top : top + height, left : left + width] |= shapes.from_runs(counts, height, width, by_columns=False)


def _integers(text: str) -> Iterator[int]:
    for word in text.split(","):
        if not word.strip().isdecimal() or len(word) > 12:
            raise shapes.bad_shape(f"run lengths that are no numbers: {word[:20]!r}")
        yield int(word)


DRAW = {"polygon": _polygon, "box": _box, "ellipse": _ellipse, "mask": _mask}
