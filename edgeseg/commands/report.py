"""`edgeseg report`: reports of several runs and devices, side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from edgeseg.commands.terminal import emit_json, json_option, path_type
from edgeseg.errors import DataError

TOLERANCE = 0.05


class Percent(click.ParamType):  # type: ignore[type-arg]
    """5% or 5, as 0.05."""

    name = "P%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            number = float(str(value).strip().removesuffix("%"))
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number >= 0):
            self.fail(f"{value!r} is not a percentage; write one as 5%", param, ctx)
        return number / 100


@click.command()
@click.argument("reports", nargs=-1, required=True, metavar="JSON...", type=path_type)
@click.option(
    "--fail-on-regression",
    "tolerance",
    type=Percent(),
    is_flag=False,
    flag_value="5%",
    help="Exit with status 1 if a file became slower by more than this, noise aside, or could not be compared. "
    "[default: 5% if given without]",
)
@click.option("--markdown", type=path_type, metavar="FILE", help="Write the tables to FILE too.")
@click.option("--csv", "csv_path", type=path_type, metavar="FILE", help="Write every figure to FILE too, for spreadsheets.")
@click.option("--html", "page", type=path_type, metavar="PAGE", help="Write a page that needs nothing else to PAGE.")
@json_option
@click.pass_context
def report(
    ctx: click.Context,
    reports: tuple[Path, ...],
    tolerance: float | None,
    markdown: Path | None,
    csv_path: Path | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Compare reports of edgeseg bench --json: runs of one machine in order of time, and machines with one another.

    Of one machine, every file is compared with the report before. A report that cannot be read costs one line.
    """
    from edgeseg.report import changes
    from edgeseg.report.page import to_csv, to_html, write_text
    from edgeseg.report.schema import read_report

    read, failures = [], []
    for path in reports:
        try:
            read.append((str(path), read_report(path)))
        except DataError as error:
            failures.append((str(path), str(error)))
    if not read:
        raise DataError(failures[0][1])
    allowed = TOLERANCE if tolerance is None else tolerance
    steps = changes.steps(read)
    text = changes.to_markdown(read, steps, failures, allowed)
    if as_json:
        emit_json(changes.to_json(read, steps, failures, allowed))
    else:
        click.echo(text, nl=False)
    if page:
        note = changes.NOTES.format(tolerance=100 * allowed)
        rows = changes.cells(steps, allowed)
        write_text(page, to_html([r for _, r in read], changes=rows, changes_note=note, failures=failures))
    for target, content in ((markdown, text), (csv_path, to_csv([r for _, r in read], failures))):
        if target:
            write_text(target, content)
    if tolerance is None:
        return
    slower = [step for step in steps if step.change is not None and step.change.is_slower(allowed)]
    reasons = []
    if slower:
        names = ", ".join(f"{step.file} ({step.change})" for step in slower)
        reasons.append(f"slower by more than {100 * tolerance:.3g} %: {names}")
    if lost := changes.lost(read):
        reasons.append(f"no longer measured: {', '.join(lost)}")
    if failures:
        reasons.append(f"not compared: {'; '.join(reason for _, reason in failures)}")
    elif not any(step.change for step in steps):
        reasons.append("nothing was compared: no file is in two reports of one machine")
    for reason in reasons:
        click.echo(f"edgeseg: {reason}", err=True)
    if reasons:
        ctx.exit(1)
