"""What the page says of accuracy: tables of files, classes and sources, and what int8 costs each layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.report.columns import ACCURATE, COSTS, Column, Row, source_cell, used
from edgeseg.report.layer_noise import worst_first

LAYERS_OPEN = 15  # shown at once; the rest folds out
STATED = (
    "IoU of the trained network before it was exported, as measured then; the model's card says on which pictures (iou/NAME)."
)
JUDGED = (
    "IoU is of all pixels of all pictures together. Boundary F is the mean over pictures of how well outlines meet, within a "
    "tolerance of 0.8\N{NO-BREAK SPACE}% of the diagonal; an outline that is seen where there is none counts as 0."
)
COMPARED = "Pixels as in float, SQNR and mIoU against float compare an int8 file with the float network on the same pictures."
FALSE = 'Where pictures hold nothing of the class that is looked for, "false" is the share of pixels that are called it.'


def plain(cells: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A table of the template, of heading -> cells."""
    count = len(next(iter(cells.values()), []))
    rows = [[(heading, column[i]) for heading, column in cells.items()] for i in range(count)]
    return {"headings": list(cells), "rows": rows, "bars": [], "bars_after": None}


def _mean(key: str) -> Column:
    return lambda row: _digits(row["measured_accuracy"].get(key))


MEANS_OF: Mapping[str, Column] = {
    "mean IoU": _mean("miou"),
    "boundary F": _mean("boundary_f"),
    "pixels right": _mean("pixel_accuracy"),
    **{name: COSTS[name] for name in ACCURATE if name != "accuracy"},
}


def accuracies(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Tables: what files say of their networks; then for each data folder what was measured, in all, by class and by source."""
    judged = {row["path"]: row for row in rows if row.get("measured_accuracy")}.values()  # threads change nothing
    found = []
    for data in dict.fromkeys(row["measured_accuracy"]["data"] for row in judged):
        own = [row for row in judged if row["measured_accuracy"]["data"] == data]
        images = max(row["measured_accuracy"]["images"] for row in own)
        tables = [plain(table) for table in _measured(own)]
        found.append({"title": f"How right: {images} pictures of {data}", "tables": tables, "note": _note(own)})
    reasons = [f"{Path(row['path']).name}: {row['accuracy_error']}" for row in rows if row.get("accuracy_error")]
    stated = {row["model"]: row["accuracy"] for row in rows if row["accuracy"]}
    if stated:
        keys = dict.fromkeys(key for accuracy in stated.values() for key in accuracy)
        table = {"model": list(stated)} | {key: [_digits(one.get(key)) for one in stated.values()] for key in keys}
        found.append({"title": "What the files say of their networks in float", "tables": [plain(table)], "note": STATED})
    if reasons:
        found.append({"title": "Not judged", "tables": [plain({"file": reasons})], "note": ""})
    return found


def _note(rows: Sequence[Row]) -> str:
    """How to read the tables of what was measured."""
    sources = [source for row in rows for source in row["measured_accuracy"].get("sources", {}).values()]
    nobody = any(source.get("false_share") is not None for source in sources)
    compared = any(row.get("parity") for row in rows)
    return " ".join([JUDGED, *[COMPARED] * compared, *[FALSE] * nobody])


def _measured(rows: Sequence[Row]) -> list[dict[str, list[str]]]:
    """A line for each file; then a line for each class, and for each source, with a column for each file."""
    measured = {Path(row["path"]).name: row["measured_accuracy"] for row in rows}
    whole = {"file": list(measured)} | used({title: MEANS_OF[title] for title in MEANS_OF}, rows)
    classes = dict.fromkeys(name for one in measured.values() for name in one.get("iou", {}))
    sources = dict.fromkeys(name for one in measured.values() for name in one.get("sources", {}))
    by_class = {"IoU": list(classes)} | {
        file: [_digits(one.get("iou", {}).get(name)) for name in classes] for file, one in measured.items()
    }
    by_source = {"mean IoU (pictures)": [f"{name} ({_pictures(name, measured.values())})" for name in sources]} | {
        file: [source_cell(one.get("sources", {}).get(name, {})) for name in sources] for file, one in measured.items()
    }
    return [whole, by_class, by_source]


def _pictures(source: str, measured: Iterable[Mapping[str, Any]]) -> int:
    return max(int(one.get("sources", {}).get(source, {}).get("images", 0)) for one in measured)


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def noises(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Of each network once, whatever files there are of it."""
    networks: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        if row.get("sensitivity"):
            networks.setdefault((row["model"], *row["size_hw"]), row)
    return [_noise(row) for row in networks.values()]


def _noise(row: Row) -> dict[str, Any]:
    """What rounding each layer costs, the worst first."""
    layers = worst_first(row["sensitivity"])
    most = max((1 - (layer["agreement"] or 0) for layer in layers), default=0) or 1.0
    shown = [
        {
            "name": layer["layer"],
            "kind": layer["operator"],
            "width": 100 * (1 - layer["agreement"]) / most if layer["agreement"] is not None else 0,
            "pixels": "" if layer["agreement"] is None else f"{1 - layer['agreement']:.3%}",
            "own": _decibels(layer["own_db"]),
            "accumulated": _decibels(layer["accumulated_db"]),
        }
        for layer in layers
    ]
    return {
        "label": "{}, {}x{}".format(row["model"], *row["size_hw"]),
        "images": row["sensitivity"]["images"],
        "first": shown[:LAYERS_OPEN],
        "rest": shown[LAYERS_OPEN:],
    }


def _decibels(value: float | None) -> str:
    return "no noise" if value is None else f"{value:.1f} dB"
