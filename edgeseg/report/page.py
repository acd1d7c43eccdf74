"""A report of `bench.py` as a table for people: Markdown, and one HTML page that needs nothing else."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from string import Template
from typing import Any

from edgeseg.errors import DataError
from edgeseg.report.device import name_device
from edgeseg.whole import write_whole

SCHEMA = 1  # of the JSON; raised when a key changes its meaning or goes
Report = dict[str, Any]
Row = dict[str, Any]


def _scaled(factor: float, digits: int) -> Callable[[float | None], str]:
    return lambda value: "" if value is None else f"{value / factor:.{digits}f}"


def _ms(key: str) -> Callable[[Row], str]:
    return lambda row: "" if row["latency_ms"].get(key) is None else f"{row['latency_ms'][key]:.2f}"


_mega, _kilobytes, _mebibytes = _scaled(1e6, 1), _scaled(1e3, 0), _scaled(2**20, 0)

# Heading with its unit -> cell of a row.
COLUMNS: dict[str, Callable[[Row], str]] = {
    "file": lambda row: Path(row["path"]).name,
    "median ms": _ms("median"),
    "p90 ms": _ms("p90"),
    "p99 ms": _ms("p99"),
    "cold ms": _ms("cold"),
    "against float": lambda row: row.get("speedup", {}).get("verdict", ""),
    "file kB": lambda row: _kilobytes(row["size_bytes"]),
    "peak MiB": lambda row: _mebibytes(row["peak_rss_bytes"]),
    "MMAC": lambda row: _mega(row["macs"]),
    "MFLOP": lambda row: _mega(row["flops"]),
    "M params": lambda row: _scaled(1e6, 2)(row["params"]),
    "size HxW": lambda row: "{}x{}".format(*row["size_hw"]),
    "backend": lambda row: row["backend"],
    "threads": lambda row: str(row["threads"]),
    "runs": lambda row: str(row["runs"]),
    "prepare ms": lambda row: f"{row['stages_ms']['prepare']:.3f}",
    "decode ms": lambda row: f"{row['stages_ms']['decode']:.3f}",
}
BAR_AFTER = "file"  # on the page, where people would rather look than read

NOTES = """\
Latency is that of inference alone, after {warmup} warm-up runs, in rounds in which the files take turns; the first run of a
turn is not timed. Cold is opening and the first inference in a fresh process. Prepare is from a 720p frame to the input tensor,
decode from the output to a matte or class ids. Peak is the memory of the whole process. "Against float" is how many times
faster than the float file of its own format (else the first): the ratio of medians within rounds with its 95 % bootstrap
interval, "no difference" where that comes within 2 % of 1. FLOPs = 2 x MACs."""


def to_markdown(report: Report) -> str:
    """Heading with the device, one row a file, the failures with their reasons, and how it was measured."""
    good = [row for row in report["results"] if "error" not in row]
    bad = [row for row in report["results"] if "error" in row]
    parts = [f"## {name_device(report['device'])}", _software(report)]
    if good:
        parts.append(_table(good))
        parts += _accuracies(good)
        parts.append(NOTES.format(**report["measured"]))
        parts += [_operators(row) for row in good if "operators" in row]
    if bad:
        parts.append("\n".join(f"- failed: `{row['path']}`: {row['error']}" for row in bad))
    return "\n\n".join(parts) + "\n"


def to_html(reports: Sequence[Report]) -> str:
    """One self-contained page: a section for each report, and bars of the medians on one scale for all of them."""
    rows = [row for report in reports for row in report["results"] if "error" not in row]
    longest = max((row["latency_ms"]["p90"] for row in rows), default=1.0)
    sections = "\n".join(_section(report, longest) for report in reports)
    page = Template((Path(__file__).parent / "template.html").read_text(encoding="utf-8"))
    return page.substitute(sections=sections)


def to_json(report: Report) -> str:
    return json.dumps(report, indent=2, allow_nan=False) + "\n"


def read_report(path: Path) -> Report:
    """A report that was written as JSON, on this machine or another. DataError where it is none, or of a newer schema."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"report {path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); write one with: edgeseg bench --json > {path}") from None
    if not isinstance(report, dict) or not {"schema", "device", "measured", "results"} <= report.keys():
        raise DataError(f"{path} is not a report of edgeseg bench; write one with: edgeseg bench --json > {path}")
    if report["schema"] != SCHEMA:
        raise DataError(
            f"report {path} has schema {report['schema']}, this edgeseg reads {SCHEMA}; use one version on all devices"
        )
    return report


def write_text(path: Path, text: str) -> None:
    """OutputError where that cannot be done."""
    write_whole(path, text.encode())


def _software(report: Report) -> str:
    device = report["device"]
    versions = [f"{name} {version}" for name, version in device["versions"].items()]
    facts = [f"Python {device['python']}", *versions, f"governor {device['governor']}" if device["governor"] else None]
    if device["temperature_c"] is not None:
        facts.append(f"{device['temperature_c']:.0f} to {device['temperature_end_c']:.0f} degrees C")
    return ", ".join(fact for fact in facts if fact) + f"; {report['measured']['date']}."


def _used(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The columns that have something to say, with their cells."""
    table = {heading: [cell(row) for row in rows] for heading, cell in COLUMNS.items()}
    return {heading: cells for heading, cells in table.items() if any(cells)}


def _table(rows: Sequence[Row]) -> str:
    """Markdown with columns padded, so that it reads on a terminal too."""
    table = _used(rows)
    widths = {heading: max(map(len, [heading, *cells])) for heading, cells in table.items()}
    lines = [[heading.ljust(widths[heading]) for heading in table], ["-" * width for width in widths.values()]]
    for i in range(len(rows)):
        lines.append([cells[i].ljust(widths[heading]) for heading, cells in table.items()])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _accuracies(rows: Sequence[Row]) -> list[str]:
    """A line for each model that says how good its float network was."""
    models = {row["model"]: row["accuracy"] for row in rows if row["accuracy"]}
    return [f"{name} in float: {', '.join(f'{k} {v:.3f}' for k, v in found.items())}." for name, found in models.items()]


def _operators(row: Row) -> str:
    name = Path(row["path"]).name
    if row["operators"] is None:
        return f"{name}: {row['backend']} does not tell the time of its operators."
    lines = [f"{r['share']:6.1%}  {r['ms']:8.3f} ms  {r['nodes']:4d} x {r['op']} ({r['dtype']})" for r in row["operators"]]
    return "\n".join(
        [f"{name}, by operator as optimised, while profiled (slower than above):", "", *(f"    {x}" for x in lines)]
    )


def _section(report: Report, longest: float) -> str:
    escape = html.escape
    good = [row for row in report["results"] if "error" not in row]
    parts = [f"<h2>{escape(name_device(report['device']))}</h2>", f"<p>{escape(_software(report))}</p>"]
    if good:
        table = _used(good)
        head = "".join(f"<th>{escape(h)}</th>" + ("<th>median, p90</th>" if h == BAR_AFTER else "") for h in table)
        body = "".join(
            "<tr>"
            + "".join(
                f"<td>{escape(cells[i])}</td>" + (f"<td>{_bar(row, longest)}</td>" if heading == BAR_AFTER else "")
                for heading, cells in table.items()
            )
            + "</tr>\n"
            for i, row in enumerate(good)
        )
        parts.append(f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>")
        parts += [f"<p>{escape(line)}</p>" for line in _accuracies(good)]
        parts.append(f"<p>{escape(NOTES.format(**report['measured']))}</p>")
        parts += [f"<pre>{escape(_operators(row))}</pre>" for row in good if "operators" in row]
    for row in report["results"]:
        if "error" in row:
            parts.append(f"<p class=failed>failed: <code>{escape(row['path'])}</code>: {escape(row['error'])}</p>")
    return "<section>" + "\n".join(parts) + "</section>"


def _bar(row: Row, longest: float) -> str:
    median, p90 = (100 * row["latency_ms"][key] / longest for key in ("median", "p90"))
    return f'<div class=bar><i style="width:{p90:.1f}%"></i><b style="width:{median:.1f}%"></b></div>'
