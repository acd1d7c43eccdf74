"""Reports of `bench.py` as one HTML page that needs nothing else: no script, no network, light and dark, and it prints."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg.errors import MissingExtraError
from edgeseg.report import charts
from edgeseg.report.boards import BOARDS
from edgeseg.report.columns import COSTS, FILE, TIMES, Column, Row, accuracy_of, failed, good, label, used
from edgeseg.report.device import name_device
from edgeseg.report.schema import Report, to_json
from edgeseg.report.text import NOTES, comparisons, software, to_csv, to_markdown
from edgeseg.whole import write_whole

__all__ = ["Picture", "to_csv", "to_html", "to_json", "to_markdown", "write_text"]

LAYERS_OPEN = 15  # shown at once; the rest folds out
BARS_AFTER = "threads"


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
        summary=_summary(reports),
        pareto=_pareto(reports),
        estimates=_estimates(rows),
        pictures=pictures,
        changes=_plain(changes or {}),
        failures=failures,
        notes=NOTES.format(**reports[0]["measured"]) if reports else "",
    )


def _plain(cells: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A table of the template, of heading -> cells."""
    count = len(next(iter(cells.values()), []))
    rows = [[(heading, column[i]) for heading, column in cells.items()] for i in range(count)]
    return {"headings": list(cells), "rows": rows, "bars": [], "bars_after": None}


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
        "costs": _table(COSTS, rows),
        "uncounted": [line for row in rows if (line := _uncounted(row))],
        "comparisons": comparisons(report),
        "distributions": _distributions(rows),
        "files": [_layers(row, rows, report) for row in rows if row.get("layers") or "operators" in row],
        "failures": [(row["path"], row["error"]) for row in failed(report["results"])],
    }


def _table(columns: Mapping[str, Column], rows: Sequence[Row], longest: float | None = None) -> dict[str, Any]:
    cells = used(columns, rows)
    if FILE in cells:
        cells[FILE] = [label(row, rows) for row in rows]
    bars = [[100 * row["latency_ms"][key] / longest for key in ("p90", "median")] for row in rows] if longest else []
    return _plain(cells) | {"bars": bars, "bars_after": BARS_AFTER if bars else None}


def _uncounted(row: Row) -> str:
    cost = row.get("cost") or {}
    if "error" in cost:
        return f"{Path(row['path']).name} could not be counted: {cost['error']}"
    operators = ", ".join(f"{name} x {calls}" for name, calls in cost.get("uncounted", {}).items())
    return f"{Path(row['path']).name}: {operators}" if operators else ""


def _distributions(rows: Sequence[Row]) -> list[dict[str, Any]]:
    known = [row for row in rows if row.get("quantiles_ms")]
    if not known:
        return []
    low = min(row["quantiles_ms"][0] for row in known)
    high = max(row["quantiles_ms"][-2] for row in known)  # without the slowest fortieth, whose maximum is in the table
    return [
        {
            "label": label(row, rows),
            "svg": charts.density(row["quantiles_ms"], low, high),
            "low": f"{low:.2f}",
            "high": f"{high:.2f}",
            "median": f"{row['latency_ms']['median']:.2f}",
        }
        for row in known
    ]


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


def _summary(reports: Sequence[Report]) -> list[str]:
    """What somebody who reads three lines should know."""
    lines = []
    for report in reports:
        rows = good(report["results"])
        for model in dict.fromkeys(row["model"] for row in rows):
            own = [row for row in rows if row["model"] == model]
            first = min(own, key=lambda row: row["latency_ms"]["median"])
            text = (
                f"{model}: {first['latency_ms']['median']:.2f} ms by {label(first, rows)} on {first['threads']} "
                f"thread{'s' if first['threads'] > 1 else ''}, {1000 / first['latency_ms']['median']:.0f} frames a second"
            )
            if verdict := first.get("speedup", {}).get("verdict"):
                text += f"; against float: {verdict}"
            lines.append(f"{text} ({report['device'].get('board') or report['device'].get('cpu') or 'unknown machine'}).")
        if report["device"].get("throttled"):
            lines.append("The machine was slowed down for heat or voltage while it was measured: measure again.")
        if bad := failed(report["results"]):
            lines.append(f"{len(bad)} of {len(report['results'])} could not be measured; the reasons are below.")
    return lines


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
    return {
        "headings": [BOARDS[name].title for name in names],
        "rows": [(file, [f"{row['at_best_ms'][n]:.2f}" for n in names]) for file, row in known.items()],
        "notes": [(BOARDS[n].title, f"{BOARDS[n].unit}; {BOARDS[n].assumptions}", BOARDS[n].sources) for n in names],
    }
