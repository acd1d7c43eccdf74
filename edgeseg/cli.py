"""The `edgeseg` command. Each body imports what it needs, so that `--help` is instant and devices need no torch.

Results go to stdout, talk and progress to stderr. Exit status: 0 done, 1 a clear one-line error, 2 usage.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import click

from edgeseg import __version__
from edgeseg.data_cli import data as data_commands
from edgeseg.errors import DataError, EdgesegError, MissingExtraError, ModelError, UsageError


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


class Size(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
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


class Bar:
    """A progress bar on stderr that appears when there is something to show, and goes when all is done.

    Where stderr is no terminal click prints its label alone, once.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.stack = ExitStack()
        self.bar: Any = None

    def show(self, what: str, share: float) -> None:
        """`what` is being done, and `share` (0..1) of all."""
        if self.bar is None:
            bar = click.progressbar(length=1000, label=self.label, file=sys.stderr, item_show_func=lambda item: item)
            self.bar = self.stack.enter_context(bar)
        self.bar.update(int(1000 * share) - self.bar.pos, what)
        if share >= 1:
            self.close()

    def close(self) -> None:
        """Leave the terminal as it was, with the cursor shown."""
        self.stack.close()
        self.bar = None


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
path_type = click.Path(path_type=Path)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="edgeseg")
def main() -> None:
    """Image segmentation on small devices: train, compress to int8, prove it, and blur backgrounds with it."""


main.add_command(data_commands)

# --- train ---------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("model")
@click.option("--data", "data", type=path_type, multiple=True, required=True, help="Data folder (images/, masks/); repeatable.")
@click.option("--validation", type=path_type, multiple=True, help="Data folder that only judges; needed with labels/.")
@click.option("--auxiliary", type=path_type, multiple=True, help="Folder (images/, labels/) to learn features from as well.")
@click.option("--backgrounds", type=path_type, help="Folder of pictures without people, to composite persons on.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Argument of a new network, as in width=0.5.")
@click.option("--initial", help="Model or checkpoint whose weights a new network of its kind begins with.")
@click.option("--size", type=Size(), help="Input size to train for. [default: the model's, or 256x256]")
@click.option("--framing", "framings", type=Size(), multiple=True, help="Train at these sizes in turn; repeatable.")
@click.option("--full-size", is_flag=True, help="No smaller pictures first: for a network that is trained already.")
@click.option("--qat", is_flag=True, help="Train a trained MODEL further with int8 imitated; export takes over its ranges.")
@click.option("--teacher", metavar="MODEL", help="With --qat: imitate this one's answers. [default: MODEL in float]")
@click.option(
    "--distil/--no-distil", default=True, show_default=True, help="With --qat: imitate a teacher, or the truth alone."
)
@click.option("--epochs", type=click.IntRange(1), help="Length of the schedule. [default: 60; with --qat 10]")
@click.option("--minutes", type=float, help="Shrink the schedule so that it ends by then.")
@click.option("--batch", type=click.IntRange(1), help="[default: 32; with --qat 16]")
@click.option("--rate", "learning_rate", type=float, help="Peak learning rate. [default: 0.004; with --qat 0.02 int8 steps]")
@click.option(
    "--loss", metavar="EXPR", default="", help="Sum of weighted losses. [default: ce(border) + 0.5*dice, or ce + 0.5*jaccard]"
)
@click.option(
    "--class-weights",
    "class_weighting",
    type=click.Choice(["none", "enet", "median"]),
    default="none",
    show_default=True,
    help="Of ce and focal, by the classes' share of the pixels.",
)
@click.option("--seed", default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on after the newest finished epoch.")
@click.option("-o", "--out", type=path_type, help="Folder for checkpoint and log. [default: runs/MODEL]")
@click.option("--json", "as_json", is_flag=True, help="Print the validation scores as JSON on stdout.")
def train(
    model: str,
    data: tuple[Path, ...],
    validation: tuple[Path, ...],
    auxiliary: tuple[Path, ...],
    backgrounds: Path | None,
    settings: tuple[str, ...],
    initial: str | None,
    size: tuple[int, int] | None,
    framings: tuple[tuple[int, int], ...],
    full_size: bool,
    qat: bool,
    teacher: str | None,
    distil: bool,
    epochs: int | None,
    minutes: float | None,
    batch: int | None,
    learning_rate: float | None,
    loss: str,
    class_weighting: str,
    seed: int,
    resume: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train MODEL (an architecture, a trained model or a checkpoint) on persons and their masks, or on labelled classes.

    Of folders with masks/ a tenth of every source is held back for validation; folders with labels/ need one that is
    held back (--validation). Writes last.safetensors, state.pt and log.csv.

    EXPR adds losses with weights, as in "ce + 0.5*dice + 0.1*boundary" or "focal(gamma=2) + lovasz". There are ce (options:
    border, unet), focal (gamma, alpha), dice, jaccard, tversky (fp, fn), focal_tversky (fp, fn, gamma), lovasz (per_image),
    boundary and hausdorff (alpha).

    \b
    edgeseg train deeplabv3plus-mobilenetv2 --data person-train --auxiliary voc/train --backgrounds rooms
    edgeseg train enet --set activation=relu --data camvid/train --validation camvid/val --size 360x480
    edgeseg train runs/enet/last.safetensors --qat --data camvid/train --validation camvid/val -o runs/enet-qat
    """
    try:
        from edgeseg.train.loop import Schedule
        from edgeseg.train.run import Folders, parse_arguments, train_model
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "export", "training") from None
    out = out or Path("runs") / (f"{Path(model).stem}-qat" if qat else Path(model).stem)
    folders = Folders(data, validation, auxiliary, backgrounds)
    command = shlex.join(["edgeseg", *sys.argv[1:]])

    def tell(line: str) -> None:
        click.echo(line, err=True)

    if qat:
        from edgeseg.export.quiet import quiet

        with quiet():  # torchao's talk of what else could be installed
            from edgeseg.compress.qat import Plan
            from edgeseg.train.qat import train_for_int8
        if settings or initial or framings or loss or class_weighting != "none":
            raise UsageError("--set, --initial, --framing, --loss and --class-weights do not go with --qat: MODEL has its own")
        plan = Plan(epochs=epochs or 10, minutes=minutes)
        if learning_rate is not None:
            plan = dataclasses.replace(plan, learning_rate=learning_rate)
        if not distil:
            plan = dataclasses.replace(plan, distil=0.0)
        scores = train_for_int8(
            model,
            folders,
            out,
            plan,
            teacher=teacher,
            size=size,
            batch=batch or 16,
            seed=seed,
            command=command,
            resume=resume,
            tell=tell,
        )
    elif teacher or not distil:
        raise UsageError("--teacher and --no-distil belong to --qat; add it, or leave them out")
    else:
        schedule = Schedule(epochs=epochs or 60, minutes=minutes, batch=batch or 32, seed=seed, framings=framings)
        if learning_rate is not None:
            schedule = dataclasses.replace(schedule, learning_rate=learning_rate)
        if full_size:
            schedule = dataclasses.replace(schedule, sizes=((0.0, 1.0),))
        scores = train_model(
            model,
            folders,
            out,
            schedule,
            arguments=parse_arguments(settings),
            initial=initial,
            size=size,
            loss=loss,
            class_weighting=class_weighting,
            command=command,
            resume=resume,
            tell=tell,
        )
    if as_json:
        emit_json(scores)
    else:
        click.echo(f"{out / 'last.safetensors'}: validation IoU {next(iter(scores.values()), float('nan')):.4f}")


# --- report --------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--backend", type=click.Choice(["auto", "litert", "ort"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of the inference.")
@click.option(
    "--min-seconds",
    type=click.FloatRange(0),
    default=2.0,
    show_default=True,
    help="Measured time of each file; 50 runs at the least.",
)
@click.option("--warmup", type=click.IntRange(0), default=10, show_default=True, help="Untimed runs of each file before.")
@click.option("--operators", is_flag=True, help="Also where the time goes, by operator (ONNX files).")
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
    operators: bool,
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

    options = Options(backend, threads, min_seconds, warmup, operators)
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


@main.command()
@click.argument("model", required=False)
@click.option("--size", type=Size(), help="Input size to count at. [default: the model's]")
@json_option
def models(model: str | None, size: tuple[int, int] | None, as_json: bool) -> None:
    """List the trained models that ship and, where torch is installed, the architectures to train.

    With MODEL (a name or a checkpoint): what each of its layers costs, and what cannot be counted.
    """
    from edgeseg.report.catalogue import cost_table, cost_to_json, count_model, list_models, to_table

    if model is not None:
        cost = count_model(model, size)
        if as_json:
            emit_json(cost_to_json(cost))
        else:
            click.echo(cost_table(cost))
        return
    if size is not None:
        raise UsageError("--size belongs to one model; name it: edgeseg models MODEL --size HxW")
    rows = list_models()
    if as_json:
        emit_json({"models": rows})
    else:
        click.echo(to_table(rows) or "no trained model ships with this build, and torch is not installed to make one")


@main.command("eval")
@click.argument("model")
@click.option("--data", type=path_type, help="Data folder: images/ with masks/ or labels/.")
@click.option("--video", type=path_type, multiple=True, metavar="CLIP", help="Instead: how steady its masks are; repeatable.")
@click.option(
    "--backend",
    type=click.Choice(["auto", "litert", "ort"]),
    default="auto",
    show_default=True,
    help="With a name, litert and ort take the int8 file that ships; auto takes the float network.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many pictures, or frames of each clip.")
@json_option
@click.pass_context
def eval_(
    ctx: click.Context,
    model: str,
    data: Path | None,
    video: tuple[Path, ...],
    backend: Literal["auto", "litert", "ort"],
    limit: int | None,
    as_json: bool,
) -> None:
    """Judge MODEL (a trained model's name, a checkpoint, or a .tflite or .onnx file) on pictures with known truth.

    IoU by class, mIoU, frequency-weighted IoU, pixel and mean accuracy, F1, average precision, the boundary F-measure and the
    Hausdorff distance, at the pictures' own size.

    With --video no truth is needed: the share of pixels that flip from frame to frame away from the outline, in the masks of
    edgeseg blur with its smoothing in time off and on; also of still pixels alone, and after optical flow.
    """
    from edgeseg.report.predict import open_predictor
    from edgeseg.train.evaluate import evaluate, to_table
    from edgeseg.train.truth import read_truth

    if video and data:
        raise UsageError("--data and --video were both given; choose one")
    if video:
        _eval_videos(model, video, backend, limit, as_json)
        return
    if data is None:
        raise click.MissingParameter(ctx=ctx, param=next(p for p in ctx.command.params if p.name == "data"))
    predictor = open_predictor(model, backend)
    truth = read_truth(data, predictor.classes, predictor.person_class)
    with click.progressbar(length=len(truth.pairs[:limit]), label="evaluating", file=sys.stderr) as bar:
        result = evaluate(predictor.judge, truth, predictor.person_class, limit=limit, on_image=lambda: bar.update(1))
    if as_json:
        emit_json(result)
    else:
        click.echo(to_table(result))


def _eval_videos(
    model: str, clips: tuple[Path, ...], backend: Literal["auto", "litert", "ort"], limit: int | None, as_json: bool
) -> None:
    import functools
    from itertools import islice

    from edgeseg.report.predict import open_predictor
    from edgeseg.report.steady import RefinedMasks
    from edgeseg.runtime import open_source
    from edgeseg.train.stability import measure, to_table

    predictor = open_predictor(model, backend)
    results = []
    for clip in clips:
        with open_source(clip) as source:
            if source.still:
                raise DataError(f"{clip} is no video: pictures that have nothing to do with each other cannot be steady")
            frames = min(limit or sys.maxsize, source.frames or sys.maxsize)
            with click.progressbar(length=frames, label=clip.name, file=sys.stderr) as bar:
                shots = (shot.frame for shot in islice(source, limit))
                masks = measure(shots, RefinedMasks(predictor), functools.partial(bar.update, 1))
        results.append({"clip": str(clip), "smoothing": masks})
    if as_json:
        emit_json({"videos": results})
    else:
        click.echo(to_table(results))


# --- running models: segment, blur, doctor -------------------------------------------------------------------------------


@main.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=path_type)
@click.option("-o", "--output", metavar="DIR", required=True, type=path_type, help="Where the results go, as <stem>.png.")
@click.option("--model", "-m", default="person", show_default=True, help="A trained model's name, or a .tflite or .onnx file.")
@click.option("--backend", type=click.Choice(["auto", "litert", "ort"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of the inference.")
@json_option
def segment(paths: tuple[Path, ...], output: Path, model: str, backend: Any, threads: int, as_json: bool) -> None:
    """Segment pictures, or folders of pictures: DIR/<stem>.png for each, of the picture's size.

    A person model gives an 8-bit matte (255 is the person), other models class ids.
    """
    from edgeseg.runtime import open_session, read_picture
    from edgeseg.runtime.picture import write_picture
    from edgeseg.runtime.segment import is_matting, pair_outputs
    from edgeseg.runtime.segment import segment as segment_frame
    from edgeseg.whole import make_folder

    pairs = pair_outputs(paths, output)
    session = open_session(model, backend=backend, threads=threads)
    make_folder(output)
    files = []
    with click.progressbar(pairs, file=sys.stderr, label="segment") as bar:
        for picture, target in bar:
            frame = read_picture(picture)
            write_picture(target, segment_frame(session, frame))
            files.append({"input": str(picture), "output": str(target), "size_hw": list(frame.shape[:2])})
    if as_json:
        kind = "matte" if is_matting(session) else "class_ids"
        emit_json({"model": session.spec.model, "kind": kind, "classes": list(session.spec.classes), "files": files})
    else:
        click.echo(f"{len(files)} segmented into {output}")


@main.command()
@click.option(
    "--webcam", metavar="[N]", is_flag=False, flag_value="0", help="Camera N; 0 if not given. This is the default input."
)
@click.option("--input", "-i", "source", metavar="PATH", type=path_type, help="A picture, a folder of pictures, or a video.")
@click.option("--background", "-b", metavar="blur|IMAGE|VIDEO|#rrggbb", default="blur", show_default=True)
@click.option("--strength", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Of the blur.")
@click.option(
    "--output",
    "-o",
    metavar="PATH",
    help="A picture, a folder or a video, as the input is; or vcam[:DEVICE]. A window if not given.",
)
@click.option("--model", "-m", default="person", show_default=True, help="A trained model's name, or a .tflite or .onnx file.")
@click.option("--backend", type=click.Choice(["auto", "litert", "ort"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of the inference.")
@json_option
def blur(
    webcam: str | None,
    source: Path | None,
    background: str,
    strength: float,
    output: str | None,
    model: str,
    backend: Any,
    threads: int,
    as_json: bool,
) -> None:
    """Blur or replace what is behind a person: from a webcam, a picture, a folder of pictures or a video.

    \b
    edgeseg blur --webcam                                       a window; q ends
    edgeseg blur --webcam --output vcam                         a virtual camera for other programs
    edgeseg blur --input talk.mp4 --output out.mp4              a video, with its sound
    edgeseg blur -i me.jpg -b beach.jpg -o out.png              a virtual background
    """
    import signal

    from edgeseg.runtime import Blur, limit_threads, open_sink, open_source, run

    for stop in (signal.SIGINT, signal.SIGTERM):  # both end it in order; a shell starts background jobs with SIGINT ignored
        signal.signal(stop, signal.default_int_handler)
    if webcam is not None and source is not None:
        raise UsageError("--webcam and --input were both given; choose one")
    if webcam is not None and not webcam.isdecimal():
        raise UsageError(f"--webcam takes the number of a camera, got {webcam!r}; a file goes to --input")
    limit_threads(threads)
    # The model and background come before the camera: its light goes on only if all else is right.
    blurrer = Blur(model, background=background, strength=strength, backend=backend, threads=threads)
    with blurrer, open_source(source if source is not None else int(webcam or 0)) as opened, open_sink(output, opened) as sink:
        if opened.frames is None:  # a camera has no end to wait for
            report = run(opened, blurrer, sink)
        else:
            with click.progressbar(length=opened.frames, file=sys.stderr, label="blur", show_pos=True) as bar:
                report = run(opened, blurrer, sink, lambda done, _: bar.update(done - bar.pos))
    if as_json:
        emit_json(report.to_json())
    else:
        stages = ", ".join(f"{name} {t['median']:.1f}" for name, t in report.stages_ms.items() if t["median"] is not None)
        click.echo(f"{report.frames} frames, {report.fps:.1f} a second; median ms: {stages}")


@main.command()
@json_option
def doctor(as_json: bool) -> None:
    """What works on this machine: backends, cameras, virtual camera, window, models, known-bad pairs of packages.

    Exit status 1 if something must be mended; what is optional and missing is only said.
    """
    from edgeseg.runtime.doctor import diagnose, versions

    checks = diagnose()
    bad = [check.name for check in checks if check.verdict == "bad"]
    if as_json:
        rows = [{"name": c.name, "verdict": c.verdict, "detail": c.detail} for c in checks]
        emit_json({"ok": not bad, "versions": versions(), "checks": rows})
    else:
        for check in checks:
            click.echo(f"{check.verdict:8}{check.name}: {check.detail}")
    if bad:
        raise EdgesegError(f"to be mended: {', '.join(bad)}")


@main.command()
@click.argument("model", default="person")
@click.option("--int8", "precision", flag_value="int8", help="Integer arithmetic, short for --precision int8.")
@click.option("--precision", type=click.Choice(["float32", "float16", "int8"]), help="float32 if not given.")
@click.option(
    "--format", "formats", multiple=True, type=click.Choice(["tflite", "onnx"]), help="May be repeated; both if not given."
)
@click.option(
    "--io",
    type=click.Choice(["int8", "uint8", "float32"]),
    default="int8",
    show_default=True,
    help="Image and logits of an int8 TFLite file.",
)
@click.option(
    "--target",
    type=click.Choice(["x86", "arm", "tensorrt"]),
    default="x86",
    show_default=True,
    help="What an int8 ONNX file is for. TensorRT's has float ends.",
)
@click.option("--opset", type=int, default=18, show_default=True, help="Of ONNX files.")
@click.option("--dynamic-batch", is_flag=True, help="ONNX files take any number of images at once.")
@click.option("--size", type=Size(), help="Of the input; the size the model was trained for if not given.")
@click.option("--calib", metavar="DIR", type=path_type, help="Pictures like your camera's, or a data folder.")
@click.option("--output", "-o", metavar="DIR", default=".", type=path_type, help="The current folder if not given.")
@click.option(
    "--observer",
    type=click.Choice(["auto", "minmax", "moving-average", "percentile", "mse", "entropy"]),
    default="auto",
    show_default=True,
    help="How int8 ranges are found; auto tries all and keeps the one with the least error.",
)
@click.option("--no-corrections", is_flag=True, help="Try neither cross-layer equalisation nor bias correction.")
@click.option("--no-cache", is_flag=True, help="Measure ranges anew, and do not keep them for the next time.")
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    default=0.98,
    show_default=True,
    help="Share of pixels that must keep their class, or nothing is written.",
)
@click.option(
    "--max-miou-drop",
    metavar="POINTS",
    type=click.FloatRange(0, 100),
    help="Points of mIoU (of 100) that may be lost, or nothing is written.",
)
@click.option(
    "--keep-float",
    metavar="LAYER",
    multiple=True,
    help="Leave the result of this layer in float; a name or a pattern as in 'decoder.*'; repeatable.",
)
@click.option("--sensitivity", metavar="DIR", type=path_type, help="Write what int8 costs, layer by layer, to DIR.")
@click.option("--force", is_flag=True, help="Write the files whatever they lose.")
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    model: str,
    precision: Any,
    formats: tuple[Any, ...],
    io: Any,
    target: Any,
    opset: int,
    dynamic_batch: bool,
    size: tuple[int, int] | None,
    calib: Path | None,
    output: Path,
    observer: str,
    no_corrections: bool,
    no_cache: bool,
    min_agreement: float,
    max_miou_drop: float | None,
    keep_float: tuple[str, ...],
    sensitivity: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write MODEL as TFLite and ONNX files that are proven to agree with it.

    MODEL is a name from `edgeseg models` or a checkpoint. Each file is run on pictures and compared with the network in
    float, pixel by pixel. Where --min-agreement or --max-miou-drop is given and int8 misses it, the fewest layers with which
    it is reached stay in float, and are named.

    \b
    edgeseg export --int8                                    the person model, both formats
    edgeseg export runs/best.safetensors --int8 --calib my-pictures --format tflite
    edgeseg export runs/best.safetensors --int8 --calib my-pictures --max-miou-drop 0.5 --sensitivity report
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "export", "exporting") from None
    from edgeseg.calib import frames
    from edgeseg.export.calibrated import CalibrationOptions
    from edgeseg.export.choices import Choices
    from edgeseg.export.files import FORMATS, Accuracy
    from edgeseg.export.files import export as export_files
    from edgeseg.export.quiet import quiet
    from edgeseg.export.result import to_json, to_table
    from edgeseg.models import MODELS
    from edgeseg.models.checkpoint import load_model

    def say(message: str) -> None:
        click.echo(message, err=True)

    choices = Choices(precision or "float32", io, target, opset, dynamic_batch)
    stated = ctx.get_parameter_source("min_agreement") is not click.core.ParameterSource.DEFAULT
    loaded = load_model(model)
    if model in MODELS:
        say(f"warning: {model} is an architecture with fresh weights; its answers mean nothing until it is trained")
    pictures = frames.from_folder(calib) if calib is not None else frames.from_sample()
    if pictures.note:
        say(f"note: {pictures.note}")
    cache = None
    if choices.precision == "int8" and not no_cache:
        with quiet():
            from edgeseg.calib.cache import default_folder
        cache = default_folder()
    bar = Bar("calibrating")
    calibration = CalibrationOptions(observer, not no_corrections, cache, bar.show)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on small networks more threads cost more than they bring
    try:
        written = export_files(
            loaded,
            pictures,
            output,
            formats=list(dict.fromkeys(formats)) or FORMATS,
            choices=choices,
            size=size,
            calibration=calibration,
            accuracy=Accuracy(min_agreement, max_miou_drop, keep_float, max_miou_drop is not None or stated, force),
            sensitivity=sensitivity,
            say=say,
        )
    finally:
        bar.close()
        torch.set_num_threads(threads)
    if as_json:
        emit_json(to_json(written))
    else:
        click.echo(to_table(written))


@main.command()
@click.argument("file", type=path_type)
@click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="Set a field; may be repeated.")
@json_option
def spec(file: Path, assignments: tuple[str, ...], as_json: bool) -> None:
    """Show the Spec inside a model FILE: what it takes, what it gives, where it comes from; or attach or mend it.

    \b
    edgeseg spec model.tflite
    edgeseg spec theirs.onnx --set model=theirs --set classes=background,person --set person_class=1 --set output=logits
    """
    import dataclasses

    from edgeseg.export.metadata import read
    from edgeseg.export.spec_edit import edit, parse

    shown = edit(file, parse(assignments)) if assignments else read(file)
    if as_json:
        emit_json(dataclasses.asdict(shown))
        return
    for key, value in dataclasses.asdict(shown).items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, list | tuple):
            value = ("x" if key.endswith("size") else ", ").join(map(str, value))
        click.echo(f"{key:20} {'' if value is None else value}")
