"""What int8 costs layer by layer, as `edgeseg export --int8 --sensitivity DIR` measured it, on the report of the files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from edgeseg.errors import DataError
from edgeseg.report.schema import Report

NUMBERS = ("own_db", "accumulated_db", "logits_db", "agreement", "miou_lost")


def add_sensitivity(report: Report, path: Path) -> None:
    """Give the rows of `path`'s model `sensitivity`, in place: {"images", "layers": [{"layer", "operator", NUMBERS...}]}.

    own_db          SQNR of the layer's result where it alone rounds
    accumulated_db  SQNR of the same result where all layers round
    logits_db       SQNR of the logits where it alone rounds
    agreement       share of pixels that keep their class where it alone rounds
    miou_lost       points of mIoU (0..100) lost where it alone rounds

    What is infinite, as the SQNR of a layer that rounds nothing, is None. DataError where the file is none, or of a model that
    the report has no int8 file of.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        layers = [_plain(layer) for layer in found["layers"]]
        model, images = str(found["model"]), int(found["images"])
    except OSError as error:
        raise DataError(f"sensitivity {path} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"{path} is no sensitivity; edgeseg export MODEL --int8 --sensitivity DIR writes DIR/sensitivity.json"
        ) from None
    rows = [row for row in report["results"] if "error" not in row and _name(row) == model]
    if not rows:
        raise DataError(f"{path} is of {model}, of which this report has no file")
    for row in rows:
        row["sensitivity"] = {"images": images, "layers": layers}


def worst_first(sensitivity: dict[str, Any]) -> list[dict[str, Any]]:
    """By the pixels that change where the layer alone rounds, then by the noise of the logits."""

    def order(layer: dict[str, Any]) -> tuple[float, float]:
        agreement, logits = layer["agreement"], layer["logits_db"]
        return (1.0 if agreement is None else agreement, math.inf if logits is None else logits)

    return sorted(sensitivity["layers"], key=order)


def _name(row: dict[str, Any]) -> str:
    """As an export names its files, without the ending."""
    return "{}-{}x{}-{}".format(row["model"], *row["size_hw"], row["precision"])


def _plain(layer: dict[str, Any]) -> dict[str, Any]:
    numbers = {key: float(layer[key]) for key in NUMBERS}
    return {"layer": str(layer["layer"]), "operator": str(layer["operator"])} | {
        key: round(value, 5) if math.isfinite(value) else None for key, value in numbers.items()
    }
