"""`edgeseg bench`: measure model files, here or on other machines."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, Literal

import click

from edgeseg.commands.terminal import Counts, json_option, path_type
from edgeseg.errors import DataError, ModelError, UsageError


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
@click.option(
    "--data", type=path_type, metavar="DIR", help="Also accuracy on a data folder, and its worst pictures on the page."
)
@click.option("--pictures", type=click.IntRange(1), default=64, show_default=True, help="Of --data, so many, evenly over it.")
@click.option(
    "--sensitivity",
    type=path_type,
    multiple=True,
    metavar="JSON",
    help="What int8 costs each layer, from edgeseg export --sensitivity; repeatable.",
)
@click.option("--markdown", type=path_type, metavar="FILE", help="Write the table to FILE too.")
@click.option("--csv", "csv_path", type=path_type, metavar="FILE", help="Write the table to FILE too, for spreadsheets.")
@click.option("--html", "page", type=path_type, metavar="PAGE", help="Write a page that needs nothing else to PAGE.")
@click.option("-o", "--out", type=path_type, metavar="DIR", help="Write bench.json, .md, .csv and .html to DIR.")
@click.option(
    "--join", type=path_type, multiple=True, metavar="JSON", help="Put a report of another machine on the page too; repeatable."
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="USER@HOST",
    help="Measure there instead, with the edgeseg that is installed there, by ssh and scp; repeatable, all at once.",
)
@click.option("--host-command", default="edgeseg", show_default=True, help="What starts edgeseg there.")
@click.option("--ssh-option", multiple=True, metavar="KEY=VALUE", help="Of ssh_config, as Port=2222; repeatable.")
@json_option
def bench(
    files: tuple[str, ...],
    backend: Literal["auto", "litert", "ort"],
    threads: tuple[int, ...],
    min_seconds: float,
    warmup: int,
    operators: bool,
    roofline: bool,
    data: Path | None,
    pictures: int,
    sensitivity: tuple[Path, ...],
    markdown: Path | None,
    csv_path: Path | None,
    page: Path | None,
    out: Path | None,
    join: tuple[Path, ...],
    hosts: tuple[str, ...],
    host_command: str,
    ssh_option: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure model files on this machine: latency, cold start, memory, and what they cost.

    FILE is a .tflite or .onnx file or a trained model's name; without one, the default model's int8 files are measured on
    every installed backend. Several files take turns, so that their ratios are fair.

    With --host, -o DIR also holds each host's report as HOST.json. A host that does not answer costs one line.
    """
    from edgeseg.commands.judged import judge
    from edgeseg.report.bench import Options, find_files, run_bench
    from edgeseg.report.layer_noise import add_sensitivity
    from edgeseg.report.page import to_csv, to_html, to_json, to_markdown, write_text
    from edgeseg.report.remote import Remote, bench_on
    from edgeseg.report.schema import hosts_to_json, read_report

    has_jinja = importlib.util.find_spec("jinja2") is not None
    if page is not None and not has_jinja:
        raise UsageError("--html needs jinja2, which is not installed; run: pip install 'edgeseg[report]', or leave it out")
    if hosts and (data is not None or sensitivity):
        raise UsageError("--data and --sensitivity are for the files here; leave out --host")
    options = Options(backend, threads, min_seconds, warmup, operators, roofline)
    others, failures = [], []
    for path in join:
        try:
            others.append(read_report(path))
        except DataError as error:
            failures.append((str(path), str(error)))
    paths = find_files(files, backend)
    texts: dict[str, str] = {}
    sheets: list[Any] = []
    if hosts:
        arguments = ["--backend", backend, "--threads", ",".join(map(str, threads)), "--min-seconds", str(min_seconds)]
        arguments += ["--warmup", str(warmup), *["--operators"] * operators, *["--roofline"] * roofline]
        remote = Remote(ssh_option, host_command)
        answers = bench_on(hosts, paths, arguments, remote, lambda line: click.echo(line, err=True))
        reports = [answer.report for answer in answers if answer.report is not None]
        failures += [(answer.host, answer.error) for answer in answers if answer.report is None]
        texts = {f"{answer.host}.json": to_json(answer.report) for answer in answers if answer.report is not None}
        texts["bench.json"] = hosts_to_json([(answer.host, answer.report, answer.error) for answer in answers])
    else:
        with click.progressbar(length=1000, file=sys.stderr, item_show_func=lambda what: what) as bar:
            reports = [run_bench(paths, options, lambda what, share: bar.update(int(1000 * share) - bar.pos, what))]
        sheets = judge(reports[0], data, pictures) if data is not None else []
        for path in sensitivity:
            try:
                add_sensitivity(reports[0], path)
            except DataError as error:
                failures.append((str(path), str(error)))
        texts["bench.json"] = to_json(reports[0])
    texts["bench.md"] = "\n".join([*map(to_markdown, reports), *(f"- failed: `{host}`: {why}\n" for host, why in failures)])
    texts["bench.csv"] = to_csv([*reports, *others], failures)
    click.echo(texts["bench.json" if as_json else "bench.md"], nl=False)  # first, so that a full disk loses nothing
    if has_jinja and (page or out):
        texts["bench.html"] = to_html([*reports, *others], sheets, failures=failures)
    elif out:
        click.echo("bench.html is left out: it needs jinja2 (pip install 'edgeseg[report]')", err=True)
    wanted = [(markdown, "bench.md"), (csv_path, "bench.csv"), (page, "bench.html"), *((out / n, n) for n in texts if out)]
    for target, name in wanted:
        if target:
            write_text(target, texts[name])
    rows = [row for report in reports for row in report["results"]]
    if all("error" in row for row in rows):
        raise ModelError(f"no file could be measured; {[*(row['error'] for row in rows), *(why for _, why in failures)][0]}")
