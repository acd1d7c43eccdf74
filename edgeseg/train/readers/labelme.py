"""LabelMe (wkentaro/labelme): one json beside each picture, with `shapes` of `points`.

Format: labelme/label_file.py and labelme/utils/shape.py. polygon, rectangle (two corners), circle (centre and a point of the
rim), line and linestrip (10 pixels wide, as labelme draws them), mask (base64 PNG within two inclusive corners). The picture is
`imagePath`, seen from the json; or the one of the same stem; or `imageData`, the file itself in base64.
"""

from __future__ import annotations

import base64
import binascii
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeseg.errors import DataError
from edgeseg.train.data import PICTURES, Frame
from edgeseg.train.pictures import decode
from edgeseg.train.readers import shapes
from edgeseg.train.readers.base import Collection, ItemError, inside, missing, read_json, safe_stem
from edgeseg.train.readers.drawn import Drawing, Shape, class_names, collect

LINE_WIDTH = 10.0


def read(source: Path, split: str | None) -> Collection:
    """Every json below SOURCE, or below SOURCE/SPLIT."""
    root = source / split if split else source
    paths = sorted(root.rglob("*.json"))
    labels: set[str] = set()
    for path in paths:
        try:
            labels.update(str(shape.get("label") or "") for shape in _document(path)["shapes"])
        except DataError:
            continue  # said when its turn comes
    loaders = []
    for path in paths:
        place = path.relative_to(root)
        loaders.append((safe_stem(place.as_posix()), _sitting(place), partial(_load, source, path)))
    return collect(root, class_names(labels), loaders)


def _sitting(place: Path) -> str:
    """The folder a json lies in, seen from the root."""
    return f"labelme-{safe_stem(place.parent.as_posix())}" if place.parent.parts else "labelme"


def _document(path: Path) -> dict[str, Any]:
    document: Any = read_json(path)
    found = document.get("shapes") if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(shape, dict) for shape in found):
        raise ItemError("broken annotations", f"{path} is not LabelMe's: it has no list of shapes")
    return dict(document)


def _load(source: Path, path: Path) -> Drawing:
    document = _document(path)
    height, width = document.get("imageHeight"), document.get("imageWidth")
    found = [Shape(str(shape.get("label") or ""), _drawer(shape)) for shape in document["shapes"]]
    return Drawing(_picture(source, path, document), None if height is None or width is None else (height, width), found)


def _picture(source: Path, path: Path, document: dict[str, Any]) -> Path | Frame:
    place = path.parent.relative_to(source).as_posix()
    beside = [f"{path.stem}{suffix}" for suffix in sorted(PICTURES)]
    for name in (str(document.get("imagePath") or ""), *beside):
        picture = inside(source, place, name)
        if picture and picture != path:
            return picture
    if isinstance(document.get("imageData"), str):
        return np.asarray(decode(_base64(document["imageData"], path), f"imageData of {path}", cv2.IMREAD_COLOR), np.uint8)
    raise missing(f"the picture of {path} ({document.get('imagePath')})")


def _base64(text: object, path: Path) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        raise shapes.bad_shape(f"{path} holds base64 that cannot be read") from None


def _drawer(shape: dict[str, Any]) -> Any:
    points, kind = shape.get("points"), shape.get("shape_type") or "polygon"
    draw = {"polygon": _polygon, "rectangle": _rectangle, "circle": _circle, "line": _line, "linestrip": _line, "mask": _mask}
    return partial(draw[kind], points, shape) if isinstance(kind, str) and kind in draw else None


def _polygon(points: object, _: object, mask: shapes.Mask) -> None:
    shapes.polygon(mask, points)


def _rectangle(points: object, _: object, mask: shapes.Mask) -> None:
    shapes.rectangle(mask, *_two(points))


def _circle(points: object, _: object, mask: shapes.Mask) -> None:
    centre, rim = _two(points)
    radius = float(np.hypot(*(rim - centre)))
    shapes.ellipse(mask, centre, (radius, radius))


def _line(points: object, _: object, mask: shapes.Mask) -> None:
    shapes.stroke(mask, points, LINE_WIDTH)


def _mask(points: object, shape: dict[str, Any], mask: shapes.Mask) -> None:
    (x0, y0), (x1, y1) = _two(points).astype(int)
    stored = np.asarray(decode(_base64(shape.get("mask"), Path("a mask")), "a mask", cv2.IMREAD_GRAYSCALE), np.uint8)
    if x0 < 0 or y0 < 0 or stored.shape != (y1 - y0 + 1, x1 - x0 + 1) or y1 >= mask.shape[0] or x1 >= mask.shape[1]:
        raise shapes.bad_shape(f"a mask of {stored.shape} within ({x0}, {y0}) and ({x1}, {y1})")
    mask[y0 : y1 + 1, x0 : x1 + 1] |= stored > 0


def _two(points: object) -> Any:
    array = shapes.numbers(points)
    if array.shape != (2, 2):
        raise shapes.bad_shape(f"{array.shape} coordinates where two points were expected")
    return array
