"""`edgeseg bench`: measure model files, here or on other machines."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Literal

import click

from edgeseg.commands.terminal import Counts, json_option, path_type
from edgeseg.errors import ModelError, UsageError


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--backend", type=click.Choice(["auto", "litert", "ort"]), default="auto", show_default=True)
@click.option("--threads", type=Counts(), default="1", show_default=True, help="Of the inference; 1,2,4 measures with each.")
@click.option(
    "--min-seconds",
    type=click.FloatRange(0),
    default=2.0,
    show_default=True,
    help="Measured time of each file; 50 runs at the least.",
)
@click.option("--warmup", type=click.IntRange(0), default=10, show_default=True, help="Untimed runs of each file before.")
@click.option("--operators", is_flag=True, help="Also where the time goes, by operator and by layer of the network.")
@click.option("--roofline", is_flag=True, help="Also what this machine can do at best, and how near each file comes to it.")
@click.option("--markdown", type=path_type, metavar="FILE", help="Write the table to FILE too.")
@click.option("--csv", "csv_path", type=path_type, metavar="FILE", help="Write the table to FILE too, for spreadsheets.")
@click.option("--html", "page", type=path_type, metavar="PAGE", help="Write a page that needs nothing else to PAGE.")
@click.option("-o", "--out", type=path_type, metavar="DIR", help="Write bench.json, .md, .csv and .html to DIR.")
@click.option(
    "--join", type=path_type, multiple=True, metavar="JSON", help="Put a report of another machine on the page too; repeatable."
)
@json_option
def bench(
    files: tuple[str, ...],
    backend: Literal["auto", "litert", "ort"],
    threads: tuple[int, ...],
    min_seconds: float,
    warmup: int,
    operators: bool,
    roofline: bool,
    markdown: Path | None,
    csv_path: Path | None,
    page: Path | None,
    out: Path | None,
    join: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Measure model files on this machine: latency, cold start, memory, and what they cost.

    FILE is a .tflite or .onnx file or a trained model's name; without one, the default model's int8 files are measured on
    every installed backend. Several files take turns, so that their ratios are fair.
    """
    from edgeseg.report.bench import Options, find_files, run_bench
    from edgeseg.report.page import to_csv, to_html, to_json, to_markdown, write_text
    from edgeseg.report.schema import read_report

    has_jinja = importlib.util.find_spec("jinja2") is not None
    if page is not None and not has_jinja:
        raise UsageError("--html needs jinja2, which is not installed; run: pip install 'edgeseg[report]', or leave it out")
    options = Options(backend, threads, min_seconds, warmup, operators, roofline)
    others = [read_report(path) for path in join]
    paths = find_files(files, backend)
    with click.progressbar(length=1000, file=sys.stderr, item_show_func=lambda what: what) as bar:
        report = run_bench(paths, options, lambda what, share: bar.update(int(1000 * share) - bar.pos, what))
    texts = {"bench.json": to_json(report), "bench.md": to_markdown(report), "bench.csv": to_csv([report, *others])}
    click.echo(texts["bench.json" if as_json else "bench.md"], nl=False)  # first, so that a full disk loses nothing
    if has_jinja and (page or out):
        texts["bench.html"] = to_html([report, *others])
    elif out:
        click.echo("bench.html is left out: it needs jinja2 (pip install 'edgeseg[report]')", err=True)
    wanted = [(markdown, "bench.md"), (csv_path, "bench.csv"), (page, "bench.html"), *((out / n, n) for n in texts if out)]
    for target, name in wanted:
        if target:
            write_text(target, texts[name])
    failed = [row for row in report["results"] if "error" in row]
    if len(failed) == len(report["results"]):
        raise ModelError(f"no file could be measured; {failed[0]['error']}")
