"""VGG Image Annotator 2: one json for all pictures, a saved project or "Export Annotations (as json)".

Dutta and Zisserman 2019; via-2.x.y/CodeDoc.md and via.js: `regions` of `shape_attributes` (polygon, rect, circle, ellipse with
theta in radians, polyline, point) and `region_attributes`. Version 1 has regions as an object of numbers; it is read too.

The class of a region is its attribute named class, label, name, type or category, or its first. A polyline whose ends meet is a
region; else it is a line of one pixel.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from edgeseg.errors import DataError
from edgeseg.train.readers import shapes
from edgeseg.train.readers.base import Collection, inside, missing, read_json, safe_stem
from edgeseg.train.readers.drawn import Drawing, Shape, class_names, collect

CLASS_ATTRIBUTES = ("class", "label", "name", "type", "category")


def read(source: Path, split: str | None) -> Collection:
    """SOURCE is the json, or a folder with one; `split` names it where there are several. Pictures lie beside it."""
    path = source
    if source.is_dir():
        found = {p.stem: p for p in sorted(source.glob("*.json"))}
        if split not in found and (split or len(found) != 1):
            raise DataError(f"{source} holds {len(found)} json files ({', '.join(found)[:80]}); name one with --split")
        path = found[split or next(iter(found))]
    records, default = _records(path)
    labels = {_label(region) for record in records for region in _regions(record)}
    loaders = [
        (safe_stem(str(r.get("filename"))), f"via-{path.stem}", partial(_load, path.parent, default, r)) for r in records
    ]
    return collect(path, class_names(labels), loaders)


def _records(path: Path) -> tuple[list[dict[str, Any]], str]:
    """The records of the pictures, and the folder that a project names for them."""
    document = read_json(path)
    default = ""
    try:
        if "_via_img_metadata" in document:
            default = str(document.get("_via_settings", {}).get("core", {}).get("default_filepath", ""))
            document = document["_via_img_metadata"]
        records = list(document.values())
        if not all(isinstance(r["filename"], str) and _regions(r) is not None for r in records):
            raise TypeError("filename")
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DataError(f"{path} is not VIA's: it must hold records with filename and regions") from None
    return records, default


def _regions(record: dict[str, Any]) -> list[dict[str, Any]]:
    regions = record["regions"]
    return [dict(region) for region in (regions.values() if isinstance(regions, dict) else regions)]


def _label(region: dict[str, Any]) -> str:
    attributes = region.get("region_attributes")
    if not isinstance(attributes, dict) or not attributes:
        return ""
    name = next((n for n in CLASS_ATTRIBUTES if n in attributes), next(iter(attributes)))
    value = attributes[name]
    if isinstance(value, dict):  # check boxes: {"cat": true}
        value = next((choice for choice, on in value.items() if on), "")
    return str(value).strip()


def _load(folder: Path, default: str, record: dict[str, Any]) -> Drawing:
    name = record["filename"]
    places = ((name,), (default, name), ("images", name))
    picture = next((p for p in (inside(folder, *place) for place in places) if p), None)
    if picture is None:
        raise missing(name)
    return Drawing(picture, None, [Shape(_label(region), _drawer(region)) for region in _regions(record)])


def _drawer(region: dict[str, Any]) -> Any:
    attributes = region.get("shape_attributes")
    if not isinstance(attributes, dict):
        return None
    kind = attributes.get("name")
    return partial(DRAW[kind], attributes) if isinstance(kind, str) and kind in DRAW else None


def _points(a: dict[str, Any]) -> list[tuple[Any, Any]]:
    xs, ys = a.get("all_points_x"), a.get("all_points_y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise shapes.bad_shape("all_points_x and all_points_y must be lists of the same length")
    return list(zip(xs, ys, strict=True))


def _polygon(a: dict[str, Any], mask: shapes.Mask) -> None:
    shapes.polygon(mask, _points(a))


def _polyline(a: dict[str, Any], mask: shapes.Mask) -> None:
    points = _points(a)
    if len(points) > 3 and points[0] == points[-1]:
        shapes.polygon(mask, points)
    else:
        shapes.stroke(mask, points)


def _rectangle(a: dict[str, Any], mask: shapes.Mask) -> None:
    x, y, width, height = shapes.numbers([a.get(name) for name in ("x", "y", "width", "height")])
    shapes.rectangle(mask, (x, y), (x + width, y + height))


def _circle(a: dict[str, Any], mask: shapes.Mask) -> None:
    shapes.ellipse(mask, (a.get("cx"), a.get("cy")), (a.get("r"), a.get("r")))


def _ellipse(a: dict[str, Any], mask: shapes.Mask) -> None:
    shapes.ellipse(mask, (a.get("cx"), a.get("cy")), (a.get("rx"), a.get("ry")), float(shapes.numbers(a.get("theta") or 0)))


DRAW = {"polygon": _polygon, "polyline": _polyline, "rect": _rectangle, "circle": _circle, "ellipse": _ellipse}
