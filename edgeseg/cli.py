"""The `edgeseg` command. Each body imports what it needs, so that `--help` is instant and devices need no torch.

Results go to stdout, talk and progress to stderr. Exit status: 0 done, 1 a clear one-line error, 2 usage.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

import click

from edgeseg import __version__
from edgeseg.errors import EdgesegError, MissingExtraError, ModelError


class Program(click.Group):
    """Turns the error tree into one line on stderr and exit status 1, here and nowhere else."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgesegError as error:
            click.echo(f"edgeseg: {error}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("edgeseg: stopped", err=True)
            ctx.exit(130)
        except BrokenPipeError:  # the reader of our output has left (`edgeseg models | head -1`)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(1)


class Size(click.ParamType):
    """HxW, as in 256x256: height first."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        height, x, width = str(value).lower().partition("x")
        if not (x and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
            self.fail(f"{value!r} is not a size; write height x width, as in 256x256", param, ctx)
        return int(height), int(width)


def emit_json(value: object) -> None:
    """One JSON document on stdout."""
    import json

    click.echo(json.dumps(value, indent=2))


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
path_type = click.Path(path_type=Path)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="edgeseg")
def main() -> None:
    """Image segmentation on small devices: train, compress to int8, prove it, and blur backgrounds with it."""


# --- train ---------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("model")
@click.option("--data", "data", type=path_type, multiple=True, required=True, help="Data folder (images/, masks/); repeatable.")
@click.option("--backgrounds", type=path_type, help="Folder of pictures without people, to composite persons on.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Argument of a new network, as in width=0.5.")
@click.option("--size", type=Size(), help="Input size to train for. [default: the model's, or 256x256]")
@click.option("--epochs", default=60, show_default=True, help="Length of the schedule.")
@click.option("--minutes", type=float, help="Shrink the schedule so that it ends by then.")
@click.option("--batch", default=32, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on after the newest finished epoch.")
@click.option("-o", "--out", type=path_type, help="Folder for checkpoint and log. [default: runs/MODEL]")
@click.option("--json", "as_json", is_flag=True, help="Print the validation scores as JSON on stdout.")
def train(
    model: str,
    data: tuple[Path, ...],
    backgrounds: Path | None,
    settings: tuple[str, ...],
    size: tuple[int, int] | None,
    epochs: int,
    minutes: float | None,
    batch: int,
    seed: int,
    resume: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train MODEL (an architecture, a trained model or a checkpoint) on persons and their masks.

    A tenth of every source is held back for validation. Writes last.safetensors, state.pt and log.csv.
    """
    try:
        from edgeseg.train.loop import Schedule
        from edgeseg.train.run import parse_arguments, train_model
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "export", "training") from None
    out = out or Path("runs") / Path(model).stem
    scores = train_model(
        model,
        data,
        out,
        Schedule(epochs=epochs, minutes=minutes, batch=batch, seed=seed),
        backgrounds=backgrounds,
        arguments=parse_arguments(settings),
        size=size,
        command=f"edgeseg {' '.join(sys.argv[1:])}",
        resume=resume,
        tell=lambda line: click.echo(line, err=True),
    )
    if as_json:
        emit_json(scores)
    else:
        click.echo(f"{out / 'last.safetensors'}: validation IoU {scores.get('iou', float('nan')):.4f}")


# --- report --------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--backend", type=click.Choice(["auto", "litert", "ort"]), default="auto", show_default=True)
@click.option("--threads", default=1, show_default=True, help="Of the inference.")
@click.option("--min-seconds", default=2.0, show_default=True, help="At least, of each file; and at least 50 runs.")
@click.option("--warmup", default=10, show_default=True, help="Untimed runs of each file before.")
@click.option("--markdown", type=path_type, metavar="FILE", help="Write the table to FILE too.")
@click.option("--html", "page", type=path_type, metavar="PAGE", help="Write a page that needs nothing else to PAGE.")
@click.option("-o", "--out", type=path_type, metavar="DIR", help="Write bench.json, bench.md and bench.html to DIR.")
@click.option(
    "--join", type=path_type, multiple=True, metavar="JSON", help="Put a report of another machine on the page too; repeatable."
)
@json_option
def bench(
    files: tuple[str, ...],
    backend: Literal["auto", "litert", "ort"],
    threads: int,
    min_seconds: float,
    warmup: int,
    markdown: Path | None,
    page: Path | None,
    out: Path | None,
    join: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Measure model files on this machine: latency, cold start, memory.

    FILE is a .tflite or .onnx file or a trained model's name; without one, the default model's int8 files are measured on
    every installed backend. Several files take turns, so that their ratios are fair.
    """
    from edgeseg.report.bench import Options, find_files, run_bench
    from edgeseg.report.page import read_report, to_html, to_json, to_markdown, write_text

    options = Options(backend, threads, min_seconds, warmup)
    others = [read_report(path) for path in join]
    paths = find_files(files, backend)
    with click.progressbar(length=1000, file=sys.stderr, item_show_func=lambda what: what) as bar:
        report = run_bench(paths, options, lambda what, share: bar.update(int(1000 * share) - bar.pos, what))
    texts = {"bench.json": to_json(report), "bench.md": to_markdown(report), "bench.html": to_html([report, *others])}
    click.echo(texts["bench.json" if as_json else "bench.md"], nl=False)  # first, so that a full disk loses nothing
    for target, name in ((markdown, "bench.md"), (page, "bench.html"), *((out / name, name) for name in texts if out)):
        if target:
            write_text(target, texts[name])
    failed = [row for row in report["results"] if "error" in row]
    if len(failed) == len(paths):
        raise ModelError(f"no file could be measured; {failed[0]['error']}")
