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
from edgeseg.report.device import is_busy, name_device
from edgeseg.report.page_accuracy import LAYERS_OPEN, accuracies, noises, plain
from edgeseg.report.schema import Report, to_json
from edgeseg.report.text import NOTES, comparisons, software, to_csv, to_markdown
from edgeseg.whole import write_whole

__all__ = ["Picture", "to_csv", "to_html", "to_json", "to_markdown", "write_text"]

BARS_AFTER = FILE
MOST_TILES = 12
FAR_APART = 4.0  # times
SHORTEST_MS = 0.001  # runtimes count microseconds: what took less was not timed
KEYS = {"miou": "mean IoU", "boundary_f": "boundary F", "pixel_accuracy": "pixels right"}  # of accuracy_of


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
    changes_note: str = "",
    failures: Sequence[tuple[str, str]] = (),
) -> str:
    """One self-contained page of one report or several. MissingExtraError without jinja2.

    changes       heading -> cells, of what became of files between reports (`changes.cells`)
    changes_note  how to read them
    failures      (name, reason) of what could not be had at all: a report, a device
    """
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError("jinja2", "report", "writing a page") from None
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((Path(__file__).parent / "template.html").read_text(encoding="utf-8"))
    rows = [row for report in reports for row in good(report["results"])]
    return template.render(
        summary=_summary(reports),
        sections=[_section(report, reports) for report in reports],
        warnings=_warnings(reports),
        tiles=_tiles(reports),
        pareto=_pareto(reports),
        estimates=_estimates(rows),
        pictures=pictures,
        changes=plain(changes or {}),
        changes_note=changes_note,
        failures=failures,
        notes=NOTES.format(**reports[0]["measured"]) if reports else "",
    )


def write_text(path: Path, text: str) -> None:
    """OutputError where that cannot be done."""
    write_whole(path, text.encode())


def _summary(reports: Sequence[Report]) -> str:
    files = {Path(row["path"]).name for report in reports for row in report["results"]}
    machines = {name_device(report["device"]) for report in reports}
    dates = sorted({str(report["measured"].get("date", ""))[:10] for report in reports} - {""})
    counts = [(len(files), "file"), (len(machines), "machine"), (len(reports), "measurement")]
    parts = [f"{count} {what}{'s' if count != 1 else ''}" for count, what in counts]
    return ", ".join([*parts, " to ".join(dict.fromkeys((dates[0], dates[-1])))] if dates else parts)


def _where(report: Report, reports: Sequence[Report], *, short: bool = True) -> str:
    """The machine, by a short name or in full, and when, where it was measured more than once."""
    device = report["device"]
    name = (device.get("board") or device.get("cpu") or "unknown machine") if short else name_device(device)
    twice = sum(name_device(other["device"]) == name_device(device) for other in reports) > 1
    date = str(report["measured"].get("date", "")).replace("T", " ").removesuffix("Z")
    return f"{name}, {date}" if twice and date else str(name)


def _section(report: Report, reports: Sequence[Report]) -> dict[str, Any]:
    """What the template shows of one device."""
    rows = good(report["results"])
    longest = max((row["latency_ms"]["p90"] for row in rows), default=1.0)
    return {
        "title": _where(report, reports, short=False),
        "software": software(report),
        "throttled": bool(report["device"].get("throttled")),
        "energy": report.get("energy"),
        "times": _table(TIMES, rows, longest),
        "costs": _table({name: cell for name, cell in COSTS.items() if name not in ACCURATE}, rows),
        "uncounted": _uncounted(rows),
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


def _uncounted(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """(what was not counted, files in which that is so)."""
    files: dict[str, dict[str, None]] = {}
    for row in rows:
        cost = row.get("cost") or {}
        operators = ", ".join(f"{name} x {calls}" for name, calls in cost.get("uncounted", {}).items())
        if what := f"nothing could be counted: {cost['error']}" if "error" in cost else operators:
            files.setdefault(what, {})[Path(row["path"]).name] = None
    return [(what, ", ".join(names)) for what, names in files.items()]


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
            "reached": _reached(layer),
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
        "roofline": charts.roofline([layer for layer in timed if layer["ms"] >= SHORTEST_MS], peaks) if peaks else "",
        "how": peaks["how"] if peaks else "",
    }


def _reached(layer: Mapping[str, Any]) -> str:
    share = layer.get("limit_share")
    if share is None:
        return ""
    if layer["ms"] < SHORTEST_MS:
        return "too short to be timed"
    return f"{share:.0%} of the limit by {layer['bound']}" if share <= 1 else f"above the limit by {layer['bound']}"


def _warnings(reports: Sequence[Report]) -> list[str]:
    """What somebody should know before believing a figure."""
    lines = []
    for report in reports:
        device = report["device"]
        where = f" ({_where(report, reports)})" if len(reports) > 1 else ""
        if device.get("throttled"):
            lines.append(f"The machine was slowed down for heat or voltage while it was measured: measure again{where}.")
        if is_busy(device):
            lines.append(
                f"The machine was at work in the minute before, with a load of {device['load_1min']:.1f}: "
                f"what else ran may have slowed it down{where}."
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
                    "machine": _where(report, reports),
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
    return f"person IoU {person:.3f}" if person is not None else f"mIoU {measured['miou']:.3f}" if "miou" in measured else ""


def _pareto(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Accuracy against latency and against MACs, for every figure of accuracy that two files or more have."""
    rows = [(row, report) for report in reports for row in good(report["results"])]
    several = len(reports) > 1
    plots = []
    for key in dict.fromkeys(key for row, _ in rows for key in accuracy_of(row)):
        own = [(row, report) for row, report in rows if key in accuracy_of(row)]
        if len({accuracy_of(row)[key] for row, _ in own}) < 2:
            continue
        first, _, rest = key.partition(" ")
        title = f"{KEYS.get(first, first)} {rest}".strip()
        names = [label(r, [x for x, _ in rows]) + (f", {_where(rep, reports)}" if several else "") for r, rep in own]
        latency = [(row["latency_ms"]["median"], accuracy_of(row)[key]) for row, _ in own]
        svgs = [charts.scatter(latency, "median latency, ms", title)]
        if all(row["macs"] for row, _ in own):
            svgs.append(charts.scatter([(row["macs"] / 1e6, accuracy_of(row)[key]) for row, _ in own], "MMAC", title))
        plots.append({"title": title, "names": names, "svgs": svgs})
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
