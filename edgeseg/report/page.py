"""Reports of `bench.py` as one HTML page that needs nothing else: no script, no network, light and dark, and it prints."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg.errors import MissingExtraError
from edgeseg.report import charts
from edgeseg.report.boards import BOARDS
from edgeseg.report.columns import ACCURATE, COSTS, FILE, TIMES, Column, Row, accuracy_of, failed, good, label, used
from edgeseg.report.device import name_device
from edgeseg.report.page_accuracy import LAYERS_OPEN, accuracies, noises, plain
from edgeseg.report.schema import Report, to_json
from edgeseg.report.text import NOTES, comparisons, software, to_csv, to_markdown
from edgeseg.whole import write_whole

__all__ = ["Picture", "to_csv", "to_html", "to_json", "to_markdown", "write_text"]

BARS_AFTER = "threads"
MOST_TILES = 12
FAR_APART = 4.0  # times
IDLE = 0.5  # load in the last minute


@dataclass(frozen=True)
class Picture:
    """An image for the page, as JPEG or PNG bytes."""

    title: str
    data: bytes

    @property
    def source(self) -> str:
        kind = "png" if self.data.startswith(b"\x89PNG") else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(self.data).decode()}"


def to_html(
    reports: Sequence[Report],
    pictures: Sequence[Picture] = (),
    *,
    changes: Mapping[str, Sequence[str]] | None = None,
    failures: Sequence[tuple[str, str]] = (),
) -> str:
    """One self-contained page of one report or several. MissingExtraError without jinja2.

    changes   heading -> cells, of what became of files between reports (`changes.cells`)
    failures  (name, reason) of what could not be had at all: a report, a device
    """
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError("jinja2", "report", "writing a page") from None
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((Path(__file__).parent / "template.html").read_text(encoding="utf-8"))
    rows = [row for report in reports for row in good(report["results"])]
    return template.render(
        sections=[_section(report) for report in reports],
        warnings=_warnings(reports),
        tiles=_tiles(reports),
        pareto=_pareto(reports),
        estimates=_estimates(rows),
        pictures=pictures,
        changes=plain(changes or {}),
        failures=failures,
        notes=NOTES.format(**reports[0]["measured"]) if reports else "",
    )


def write_text(path: Path, text: str) -> None:
    """OutputError where that cannot be done."""
    write_whole(path, text.encode())


def _section(report: Report) -> dict[str, Any]:
    """What the template shows of one device."""
    rows = good(report["results"])
    longest = max((row["latency_ms"]["p90"] for row in rows), default=1.0)
    return {
        "title": name_device(report["device"]),
        "software": software(report),
        "throttled": bool(report["device"].get("throttled")),
        "energy": report.get("energy"),
        "times": _table(TIMES, rows, longest),
        "costs": _table({name: cell for name, cell in COSTS.items() if name not in ACCURATE}, rows),
        "uncounted": [line for row in rows if (line := _uncounted(row))],
        "comparisons": comparisons(report),
        "distributions": _distributions(rows),
        "files": [_layers(row, rows, report) for row in rows if row.get("layers") or "operators" in row],
        "accuracies": accuracies(rows),
        "noises": noises(rows),
        "failures": [(row["path"], row["error"]) for row in failed(report["results"])],
    }


def _table(columns: Mapping[str, Column], rows: Sequence[Row], longest: float | None = None) -> dict[str, Any]:
    cells = used(columns, rows)
    if FILE in cells:
        cells[FILE] = [label(row, rows) for row in rows]
    bars = [[100 * row["latency_ms"][key] / longest for key in ("p90", "median")] for row in rows] if longest else []
    return plain(cells) | {"bars": bars, "bars_after": BARS_AFTER if bars else None}


def _uncounted(row: Row) -> str:
    cost = row.get("cost") or {}
    if "error" in cost:
        return f"{Path(row['path']).name} could not be counted: {cost['error']}"
    operators = ", ".join(f"{name} x {calls}" for name, calls in cost.get("uncounted", {}).items())
    return f"{Path(row['path']).name}: {operators}" if operators else ""


def _distributions(rows: Sequence[Row]) -> dict[str, Any]:
    """A strip for each file on one axis, which is logarithmic where the files are far apart."""
    known = [row for row in rows if row.get("quantiles_ms")]
    if not known:
        return {}
    low = min(row["quantiles_ms"][0] for row in known)
    high = max(row["quantiles_ms"][-2] for row in known)  # without the slowest fortieth, whose maximum is in the table
    log = low > 0 and high > FAR_APART * low
    scale = math.log if log else float
    strips = [
        {
            "label": label(row, rows),
            "svg": charts.density([scale(q) for q in row["quantiles_ms"]], scale(low), scale(high)),
            "median": f"{row['latency_ms']['median']:.2f}",
        }
        for row in known
    ]
    return {"strips": strips, "low": f"{low:.2f}", "high": f"{high:.2f}", "log": log}


def _layers(row: Row, rows: Sequence[Row], report: Report) -> dict[str, Any]:
    layers = sorted(row.get("layers", []), key=lambda layer: -(layer["ms"] or 0))
    timed = [layer for layer in layers if layer["ms"]]
    longest = max((layer["ms"] for layer in timed), default=1.0)
    peaks = report.get("roofline", {}).get("measured", {}).get(str(row["threads"]))
    shown = [
        {
            "name": layer["name"],
            "kind": layer["kind"],
            "ms": f"{layer['ms']:.3f}",
            "share": f"{layer['share']:.1%}",
            "width": 100 * layer["ms"] / longest,
            "limit": 100 * min(layer.get("limit_ms", 0), longest) / longest if "limit_ms" in layer else None,
            "reached": f"{layer['limit_share']:.0%} of the limit by {layer['bound']}" if "limit_share" in layer else "",
            "macs": f"{layer['macs'] / 1e6:.2f}",
            "intensity": f"{layer['intensity']:.1f}",
        }
        for layer in timed
    ]
    return {
        "label": label(row, rows),
        "first": shown[:LAYERS_OPEN],
        "rest": shown[LAYERS_OPEN:],
        "operators": row.get("operators") or [],
        "other": sorted((row.get("other_ms") or {}).items(), key=lambda item: -item[1]),
        "reason": row.get("profile_error", ""),
        "roofline": charts.roofline(layers, peaks) if peaks else "",
        "how": peaks["how"] if peaks else "",
    }


def _warnings(reports: Sequence[Report]) -> list[str]:
    """What somebody should know before believing a figure."""
    lines = []
    for report in reports:
        device = report["device"]
        where = f" ({name_device(device)})" if len(reports) > 1 else ""
        if device.get("throttled"):
            lines.append(f"The machine was slowed down for heat or voltage while it was measured: measure again{where}.")
        if (device.get("load_1min") or 0) > IDLE:
            lines.append(
                f"Other processes were at work, with a load of {device['load_1min']:.1f}: times are of a busy machine{where}."
            )
        if bad := failed(report["results"]):
            lines.append(f"{len(bad)} of {len(report['results'])} could not be measured; the reasons are below{where}.")
    return lines


def _tiles(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """A few figures of each file, the quickest of each model on each machine marked."""
    tiles = []
    for report in reports:
        rows = good(report["results"])
        for row in rows:
            median = row["latency_ms"]["median"]
            own = [other["latency_ms"]["median"] for other in rows if other["model"] == row["model"]]
            verdict = (row.get("speedup") or {}).get("verdict", "")
            facts = [
                f"{1000 / median:,.0f} a second",
                f"{verdict.split(' ')[0]} against float" if verdict.endswith(")") else "",
                "no faster than float" if verdict == "no difference" else "",
                f"{row['size_bytes'] / 1e3:,.0f} kB",
                f"{row['macs'] / 1e6:,.0f} MMAC" if row["macs"] else "",
                _right(row),
            ]
            tiles.append(
                {
                    "name": label(row, rows),
                    "median": f"{median:.2f}",
                    "facts": [fact for fact in facts if fact],
                    "machine": report["device"].get("board") or report["device"].get("cpu") or "unknown machine",
                    "best": median == min(own),
                }
            )
    return tiles if len(tiles) <= MOST_TILES else [tile for tile in tiles if tile["best"]][:MOST_TILES]


def _right(row: Row) -> str:
    """The one figure of accuracy that says most, where it was measured."""
    measured = row.get("measured_accuracy")
    if measured is None:
        return ""
    person = measured.get("iou", {}).get("person")
    return f"IoU {person:.3f}" if person is not None else f"mIoU {measured['miou']:.3f}" if "miou" in measured else ""


def _pareto(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Accuracy against latency and against MACs, for every figure of accuracy that two files or more have."""
    rows = [(row, report) for report in reports for row in good(report["results"])]
    several = len(reports) > 1
    plots = []
    for key in dict.fromkeys(key for row, _ in rows for key in accuracy_of(row)):
        own = [(row, report) for row, report in rows if key in accuracy_of(row)]
        if len({accuracy_of(row)[key] for row, _ in own}) < 2:
            continue
        names = [label(r, [x for x, _ in rows]) + (f", {name_device(rep['device'])}" if several else "") for r, rep in own]
        latency = [(row["latency_ms"]["median"], accuracy_of(row)[key]) for row, _ in own]
        plots.append({"names": names, "svg": charts.scatter(latency, "median ms", key), "key": key, "cost": "latency"})
        if all(row["macs"] for row, _ in own):
            macs = [(row["macs"] / 1e6, accuracy_of(row)[key]) for row, _ in own]
            plots.append({"names": names, "svg": charts.scatter(macs, "MMAC", key), "key": key, "cost": "MACs"})
    return plots


def _estimates(rows: Sequence[Row]) -> dict[str, Any]:
    """What files would need at best on other devices."""
    known = {label(row, rows): row for row in rows if row.get("at_best_ms")}
    names = [name for name in BOARDS if any(name in row["at_best_ms"] for row in known.values())]
    cells = {"file": list(known)} | {
        f"{BOARDS[n].title}, at best ms": [f"{row['at_best_ms'][n]:.2f}" for row in known.values()] for n in names
    }
    return {
        "rows": list(known),
        "table": plain(cells),
        "notes": [(BOARDS[n].title, f"{BOARDS[n].unit}; {BOARDS[n].assumptions}", BOARDS[n].sources) for n in names],
    }
