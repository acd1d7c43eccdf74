"""What became of files between reports: `edgeseg report A.json B.json`.

Reports are given in order of time. Each file of a report is compared with the last report before it of the same machine that
has that file too (`compare.change`); reports of different machines stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg.report.columns import Row, failed, good
from edgeseg.report.compare import Change, change, is_comparable
from edgeseg.report.device import is_busy, name_device
from edgeseg.report.schema import Report
from edgeseg.report.text import software, table

SAME_MACHINE = ("board", "cpu", "cores", "architecture", "memory_bytes")
SAME_FILE = ("model", "format", "precision", "backend", "threads", "size_hw")
Named = Sequence[tuple[str, Report]]  # a name, as the path it was read from


@dataclass(frozen=True)
class Step:
    """One file, from one report to a later one."""

    file: str
    threads: int
    device: str
    before: str  # name of the older report
    after: str
    old_ms: float  # medians as measured
    new_ms: float
    change: Change | None  # None where a report has no blocks to compare by
    note: str = ""

    def verdict(self, tolerance: float) -> str:
        if self.change is None:
            return "cannot tell"
        if self.change.is_slower(tolerance):
            return "SLOWER"
        return "faster" if self.change.is_faster(tolerance) else "no difference"


def steps(reports: Named) -> list[Step]:
    """Of (name, report) in order of time."""
    found = []
    for i, (after, report) in enumerate(reports):
        for row in good(report["results"]):
            older = ((name, old, other) for name, old in reversed(reports[:i]) for other in good(old["results"]))
            match = next((x for x in older if _is_same(x[1], report, SAME_MACHINE) and _matches(x[2], row)), None)
            if match is None:
                continue
            before, old, old_row = match
            found.append(
                Step(
                    Path(row["path"]).name,
                    row["threads"],
                    name_device(report["device"]),
                    before,
                    after,
                    old_row["latency_ms"]["median"],
                    row["latency_ms"]["median"],
                    change(old_row, row),
                    _note(old, report, old_row, row),
                )
            )
    return found


def lost(reports: Named) -> list[str]:
    """Files that failed in a report, and were measured in one before it of the same machine."""
    names: dict[str, None] = {}
    for i, (after, report) in enumerate(reports):
        older = [row for _, old in reports[:i] if _is_same(old, report, SAME_MACHINE) for row in good(old["results"])]
        for row in failed(report["results"]):
            if any(Path(row["path"]).name == Path(other["path"]).name for other in older):
                names[f"{Path(row['path']).name} ({after}: {row['error']})"] = None
    return list(names)


def _is_same(one: Report, other: Report, keys: Sequence[str]) -> bool:
    return all(one["device"].get(key) == other["device"].get(key) for key in keys)


def _matches(one: Row, other: Row) -> bool:
    return Path(one["path"]).name == Path(other["path"]).name and all(one.get(k) == other.get(k) for k in SAME_FILE)


def _note(old: Report, new: Report, old_row: Row, new_row: Row) -> str:
    """What else is not the same, or was not as it should be."""
    notes = []
    versions = [report["device"].get("versions", {}) for report in (old, new)]
    for package in sorted(versions[0].keys() | versions[1].keys()):
        if versions[0].get(package) != versions[1].get(package):
            notes.append(f"{package} {versions[0].get(package, 'absent')} -> {versions[1].get(package, 'absent')}")
    if old_row.get("size_bytes") != new_row.get("size_bytes") or old_row.get("weights_sha256") != new_row.get("weights_sha256"):
        notes.append("another file of that name")
    if not is_comparable(old_row, new_row):
        notes.append("measured beside other reference work: measure both with one edgeseg")
    if any(report["device"].get("throttled") for report in (old, new)):
        notes.append("a machine throttled")
    if any(is_busy(report["device"]) for report in (old, new)):
        notes.append("beside other work")
    return ", ".join(notes)


def to_json(reports: Named, found: Sequence[Step], failures: Sequence[tuple[str, str]], tolerance: float) -> dict[str, Any]:
    """Keys of `edgeseg report --json`."""
    return {
        "schema": 1,
        "tolerance": tolerance,
        "reports": [{"path": name, "device": report["device"], "measured": report["measured"]} for name, report in reports],
        "failures": [{"path": name, "error": reason} for name, reason in failures],
        "changes": [
            {
                "file": step.file,
                "threads": step.threads,
                "device": step.device,
                "before": step.before,
                "after": step.after,
                "old_ms": step.old_ms,
                "new_ms": step.new_ms,
                "change": None
                if step.change is None
                else {
                    "value": round(step.change.value, 4),
                    "low": round(step.change.low, 4),
                    "high": round(step.change.high, 4),
                    "clock": step.change.clock,
                },
                "verdict": step.verdict(tolerance),
                "note": step.note,
            }
            for step in found
        ],
    }


def to_markdown(reports: Named, found: Sequence[Step], failures: Sequence[tuple[str, str]], tolerance: float) -> str:
    """Files and machines side by side, then what changed, then what could not be read."""
    parts = [f"- {name}: {name_device(report['device'])}; {software(report)}" for name, report in reports]
    parts = ["\n".join(parts), table(_side_by_side(reports))]
    if found:
        parts.append(table(cells(found, tolerance)))
        parts.append(NOTES.format(tolerance=100 * tolerance))
    bad = list(failures)
    for name, report in reports:
        bad += [(f"{name}: {Path(row['path']).name}", row["error"]) for row in failed(report["results"])]
    if bad:
        parts.append("\n".join(f"- failed: `{name}`: {reason}" for name, reason in bad))
    return "\n\n".join(part for part in parts if part) + "\n"


NOTES = """\
A change is how much longer a file takes, by the reference work that was measured beside it in both reports, with its 95 %
interval. SLOWER and faster mean by more than {tolerance:.3g} % for certain, that is the whole interval; no difference is all
else. Where another process had the processor, processor time is compared and not the time that passed."""


def cells(found: Sequence[Step], tolerance: float) -> dict[str, list[str]]:
    """Heading -> cells, of the table of changes."""
    return {
        "file": [step.file for step in found],
        "threads": [str(step.threads) for step in found],
        "before": [f"{step.before}: {step.old_ms:.2f} ms" for step in found],
        "after": [f"{step.after}: {step.new_ms:.2f} ms" for step in found],
        "change": ["" if step.change is None else str(step.change) for step in found],
        "clock": ["" if step.change is None else step.change.clock for step in found],
        "verdict": [step.verdict(tolerance) for step in found],
        "note": [step.note for step in found],
    }


def _side_by_side(reports: Named) -> dict[str, list[str]]:
    """Median and p90 of every file in every report."""
    keys: dict[tuple[str, int], None] = {}
    times: dict[tuple[str, tuple[str, int]], str] = {}
    for name, report in reports:
        for row in good(report["results"]):
            key = (Path(row["path"]).name, row["threads"])
            keys[key] = None
            times[name, key] = f"{row['latency_ms']['median']:.2f} ({row['latency_ms']['p90']:.2f})"
    if not keys:
        return {}
    side = {"file": [file for file, _ in keys], "threads": [str(threads) for _, threads in keys]}
    return side | {f"{name} median (p90) ms": [times.get((name, key), "") for key in keys] for name, _ in reports}
