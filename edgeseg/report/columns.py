"""The columns of a report's tables, each with its unit, for Markdown, CSV and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Column = Callable[[Row], str]


def _scaled(factor: float, digits: int) -> Callable[[float | None], str]:
    return lambda value: "" if value is None else f"{value / factor:.{digits}f}"


def _ms(key: str) -> Column:
    return lambda row: "" if row["latency_ms"].get(key) is None else f"{row['latency_ms'][key]:.2f}"


_mega, _kilobytes, _mebibytes = _scaled(1e6, 1), _scaled(1e3, 0), _scaled(2**20, 0)


def _cost(key: str, show: Callable[[float | None], str]) -> Column:
    """From what was counted in the file itself."""
    return lambda row: show((row.get("cost") or {}).get(key))


def _best(row: Row) -> str:
    best = (row.get("at_best_ms") or {}).get("measured")
    return "" if best is None else f"{best / row['latency_ms']['median']:.0%}"


def accuracy_of(row: Row) -> dict[str, float]:
    """As measured on a data folder; else as the file says of its float network."""
    measured = row.get("measured_accuracy")
    if measured is None:
        return dict(row["accuracy"])
    means = {key: value for key, value in measured.items() if isinstance(value, float)}
    return {f"{key} ({measured['data']})": value for key, value in means.items()}


def classes_of(row: Row) -> str:
    """IoU of each class on the data folder, as measured."""
    found = (row.get("measured_accuracy") or {}).get("iou", {})
    return ", ".join(f"{name} {value:.3f}" for name, value in found.items() if value is not None)


def sources_of(row: Row) -> str:
    """By source of the pictures."""
    found = (row.get("measured_accuracy") or {}).get("sources", {})
    return ", ".join(f"{name} {cell} ({source['images']})" for name, source in found.items() if (cell := source_cell(source)))


def source_cell(source: Mapping[str, Any]) -> str:
    """Mean IoU; where nothing is to be found, the share of pixels that are called something all the same."""
    if source.get("false_share") is not None:
        return f"{source['false_share']:.2%} false"
    return f"{source['miou']:.3f}" if source.get("miou") is not None else ""


def _parity(key: str, show: str) -> Column:
    """Against the float network, on the same pictures."""
    return lambda row: "" if (row.get("parity") or {}).get(key) is None else format(row["parity"][key], show)


FILE = "file"
# Heading with its unit -> cell of a row.
TIMES: Mapping[str, Column] = {
    FILE: lambda row: Path(row["path"]).name,
    "median ms": _ms("median"),
    "p90 ms": _ms("p90"),
    "p99 ms": _ms("p99"),
    "max ms": _ms("max"),
    "cold ms": _ms("cold"),
    "against float": lambda row: row.get("speedup", {}).get("verdict", ""),
    "of the limit": _best,
    "mJ": lambda row: _scaled(1, 2)(row.get("energy_mj")),
    "backend": lambda row: row["backend"],
    "threads": lambda row: str(row["threads"]),
    "runs": lambda row: str(row["runs"]),
    "prepare ms": lambda row: f"{row['stages_ms']['prepare']:.3f}",
    "decode ms": lambda row: f"{row['stages_ms']['decode']:.3f}",
}
COSTS: Mapping[str, Column] = {
    FILE: TIMES[FILE],
    "size HxW": lambda row: "{}x{}".format(*row["size_hw"]),
    "file kB": lambda row: _kilobytes(row["size_bytes"]),
    "M params": lambda row: _scaled(1e6, 2)(row["params"]),
    "MMAC": lambda row: _mega(row["macs"]),
    "MFLOP": lambda row: _mega(row["flops"]),
    "MMAC in the file": _cost("macs", _mega),
    "MB moved": _cost("moved_bytes", _mega),
    "MAC/byte": _cost("intensity", _scaled(1, 1)),
    "activations MB": _cost("peak_bytes", _scaled(1e6, 2)),
    "peak MiB": lambda row: _mebibytes(row["peak_rss_bytes"]),
    "pixels as in float": _parity("agreement", ".2%"),
    "logits SQNR dB": _parity("sqnr_db", ".1f"),
    "mIoU against float": _parity("miou_delta", "+.4f"),
    "accuracy": lambda row: ", ".join(f"{key} {value:.3f}" for key, value in accuracy_of(row).items()),
}
ACCURACY: Mapping[str, Column] = {"IoU by class": classes_of, "mIoU by source (pictures)": sources_of}
ACCURATE = ("pixels as in float", "logits SQNR dB", "mIoU against float", "accuracy")  # of COSTS
_FIRST = (FILE, "median ms", "p90 ms", "p99 ms", "max ms", "cold ms", "against float", "file kB", "peak MiB", "MMAC", "MFLOP")
_ALL = {**TIMES, **COSTS, **ACCURACY}
ALL: Mapping[str, Column] = {name: _ALL[name] for name in (*_FIRST, *(n for n in _ALL if n not in _FIRST))}


def used(columns: Mapping[str, Column], rows: Sequence[Row]) -> dict[str, list[str]]:
    """The columns that have something to say, with their cells."""
    table = {heading: [cell(row) for row in rows] for heading, cell in columns.items()}
    return {heading: cells for heading, cells in table.items() if any(cells)}


def good(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "error" not in row]


def failed(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "error" in row]


def label(row: Row, rows: Sequence[Row]) -> str:
    """The file's name, with what tells it from the others of that name."""
    name = Path(row["path"]).name
    if len({other.get("threads") for other in rows}) > 1:
        name += f", {row['threads']} thread{'s' if row['threads'] > 1 else ''}"
    return name
