"""The JSON of `edgeseg bench`: written, read back, and told apart from other JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeseg.errors import DataError

SCHEMA = 2  # raised when a key changes its meaning or goes; 2 has a row for each number of threads
READABLE = (1, 2)  # in 1 there are no blocks, costs and layers
NEEDED = {"schema", "device", "measured", "results"}
Report = dict[str, Any]


def to_json(report: Report) -> str:
    return json.dumps(report, indent=2, allow_nan=False) + "\n"


def hosts_to_json(answers: Sequence[tuple[str, Report | None, str]]) -> str:
    """Of (host, its report or None, reason): {"schema", "hosts": [{"host", "report"} or {"host", "error"}]}."""
    hosts = [
        {"host": host, "error": why} if report is None else {"host": host, "report": report} for host, report, why in answers
    ]
    return json.dumps({"schema": SCHEMA, "hosts": hosts}, indent=2, allow_nan=False) + "\n"


def read_report(path: Path) -> Report:
    """A report that was written as JSON, on this machine or another. DataError where it is none, or of an unknown schema."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"report {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not JSON; write one with: edgeseg bench --json > {path}") from None
    return parse_report(text, str(path))


def parse_report(text: str, name: str) -> Report:
    """The report in `text`, which came from `name`. DataError as `read_report`."""
    try:
        report = json.loads(text)
    except ValueError as error:
        raise DataError(f"{name} is not JSON ({error}); write one with: edgeseg bench --json > {name}") from None
    if not isinstance(report, dict) or not report.keys() >= NEEDED or not isinstance(report["results"], list):
        raise DataError(f"{name} is not a report of edgeseg bench; write one with: edgeseg bench --json > {name}")
    if report["schema"] not in READABLE:
        raise DataError(
            f"report {name} has schema {report['schema']}, this edgeseg reads {', '.join(map(str, READABLE))}; use one version "
            "on all devices"
        )
    return report
