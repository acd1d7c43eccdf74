"""A report of `bench.py` for a terminal and for spreadsheets: Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeseg.report.columns import ACCURACY, ALL, FILE, Row, failed, good, label, used
from edgeseg.report.device import name_device
from edgeseg.report.layer_noise import worst_first
from edgeseg.report.schema import Report

NOTES = """\
Latency is that of inference alone, after {warmup} warm-up runs, in rounds in which the files take turns; the first run of a
turn is not timed. Cold is opening and the first inference in a fresh process. Prepare is from a 720p frame to the input tensor,
decode from the output to a matte or class ids. Peak is the memory of the whole process. "Against float" is how many times
faster than the float file of its own format (else the first): the ratio of medians within rounds with its 95 % bootstrap
interval, "no difference" where that comes within 2 % of 1; of processor time where another process had the processor and one
thread was used. FLOPs = 2 x MACs. MMAC in the file, MB moved, MACs a byte and the
peak of the activations are counted from its operators. "Of the limit" is what this machine would need at best over
the median."""
LAYERS_SHOWN = 12


def to_markdown(report: Report) -> str:
    """Heading with the device, one row a file, the failures with their reasons, and how it was measured."""
    rows = good(report["results"])
    bad = failed(report["results"])
    parts = [f"## {name_device(report['device'])}", software(report)]
    if rows:
        parts.append(table(used({name: cell for name, cell in ALL.items() if name not in ACCURACY}, rows)))
        if judged := [row for row in rows if row.get("measured_accuracy")]:
            parts.append(table(used({FILE: ALL[FILE], **ACCURACY}, judged)))
        parts += [f"- not judged: `{row['path']}`: {row['accuracy_error']}" for row in rows if row.get("accuracy_error")]
        parts += accuracies(rows)
        if report.get("comparisons"):
            parts.append("\n".join(f"- {line}" for line in comparisons(report)))
        parts.append(NOTES.format(**report["measured"]))
        parts += [_operators(row) for row in rows if "operators" in row]
        parts += [_layers(row) for row in rows if any(layer["ms"] for layer in row.get("layers", []))]
        parts += [_noise(row) for row in rows if row.get("sensitivity")]
    if bad:
        parts.append("\n".join(f"- failed: `{row['path']}`: {row['error']}" for row in bad))
    return "\n\n".join(parts) + "\n"


def to_csv(reports: Sequence[Report], failures: Sequence[tuple[str, str]] = ()) -> str:
    """A line for each file of each device, with every column of the tables; a failure has its reason in the last.

    failures  (name, reason) of what could not be had at all: a report, a device
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["device", "date", *ALL, "error"])
    for report in reports:
        place = [name_device(report["device"]), report["measured"].get("date", "")]
        for row in report["results"]:
            if "error" in row:
                writer.writerow([*place, Path(row["path"]).name, *[""] * (len(ALL) - 1), row["error"]])
            else:
                writer.writerow([*place, *(cell(row) for cell in ALL.values()), ""])
    for name, reason in failures:
        writer.writerow([name, "", *[""] * len(ALL), reason])
    return out.getvalue()


def software(report: Report) -> str:
    """What ran, in which state of the machine."""
    device = report["device"]
    versions = [f"{name} {version}" for name, version in device["versions"].items()]
    facts = [f"Python {device['python']}", *versions, f"governor {device['governor']}" if device["governor"] else None]
    if device["temperature_c"] is not None:
        facts.append(f"{device['temperature_c']:.0f} to {device['temperature_end_c']:.0f} degrees C")
    if device.get("throttled") is not None:
        facts.append("THROTTLED while it was measured" if device["throttled"] else "not throttled")
    return ", ".join(fact for fact in facts if fact) + f"; {report['measured']['date']}."


def comparisons(report: Report) -> list[str]:
    """Which of two files is faster, in words: the faster one first."""
    rows = report["results"]
    lines = []
    for pair in report.get("comparisons", []):
        first, second = (label(rows[pair[key]], good(rows)) for key in ("first", "second"))
        if pair["verdict"] == "no difference":
            lines.append(f"{second} and {first}: no difference")
        elif pair.get("value", 1) < 1:
            value, low, high = (1 / pair[key] for key in ("value", "high", "low"))
            lines.append(f"{first} is {value:.2f}x ({low:.2f} to {high:.2f}) as fast as {second}")
        else:
            lines.append(f"{second} is {pair['verdict']} as fast as {first}")
    return lines


def table(cells: dict[str, list[str]]) -> str:
    """Markdown with columns padded, so that it reads on a terminal too."""
    widths = {heading: max(map(len, [heading, *column])) for heading, column in cells.items()}
    lines = [[heading.ljust(widths[heading]) for heading in cells], ["-" * width for width in widths.values()]]
    for i in range(len(next(iter(cells.values()), []))):
        lines.append([column[i].ljust(widths[heading]) for heading, column in cells.items()])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def accuracies(rows: Sequence[Row]) -> list[str]:
    """A line for each model that says how good its float network was."""
    models = {row["model"]: row["accuracy"] for row in rows if row["accuracy"]}
    return [f"{name} in float: {', '.join(f'{k} {v:.3f}' for k, v in found.items())}." for name, found in models.items()]


def _operators(row: Row) -> str:
    name = Path(row["path"]).name
    if row["operators"] is None:
        return f"{name}: {row.get('profile_error') or row['backend'] + ' does not tell the time of its operators'}."
    lines = [f"{r['share']:6.1%}  {r['ms']:8.3f} ms  {r['nodes']:4d} x {r['op']} ({r['dtype']})" for r in row["operators"]]
    return "\n".join(
        [f"{name}, by operator as optimised, while profiled (slower than above):", "", *(f"    {x}" for x in lines)]
    )


def _layers(row: Row) -> str:
    shown = sorted(row["layers"], key=lambda layer: -(layer["ms"] or 0))[:LAYERS_SHOWN]
    lines = [
        f"    {layer['share']:6.1%}  {layer['ms']:8.3f} ms  {layer['macs'] / 1e6:8.2f} MMAC  {layer['name']}{_limit(layer)}"
        for layer in shown
    ]
    return "\n".join([f"{Path(row['path']).name}, the {len(shown)} layers that take longest:", "", *lines])


def _noise(row: Row) -> str:
    shown = worst_first(row["sensitivity"])[:LAYERS_SHOWN]
    lines = [
        f"    {_show(layer['own_db'], '6.1f')} dB  {_show(layer['accumulated_db'], '6.1f')} dB  "
        f"{_show(layer['agreement'] and 1 - layer['agreement'], '8.3%')} of pixels  {layer['layer']}"
        for layer in shown
    ]
    what = "SQNR where it alone is rounded, where all are, pixels that it alone changes"
    return "\n".join([f"{Path(row['path']).name}, the {len(shown)} layers that int8 costs most ({what}):", "", *lines])


def _show(value: float | None, form: str) -> str:
    return "     -" if value is None else format(value, form)


def _limit(layer: dict[str, Any]) -> str:
    return f"  ({layer['limit_share']:.0%} of the limit by {layer['bound']})" if "limit_share" in layer else ""
