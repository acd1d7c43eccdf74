"""The `edgeseg` command. Each body imports what it needs, so that `--help` is instant and devices need no torch.

Results go to stdout, talk and progress to stderr. Exit status: 0 done, 1 a clear one-line error, 2 usage.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any, Literal

import click

from edgeseg import __version__
from edgeseg.commands.bench import bench
from edgeseg.commands.blur_options import Making, making_options, shown_progress, tell
from edgeseg.commands.capture_options import Given, capture_options, choose_input
from edgeseg.commands.compress import compress
from edgeseg.commands.data import data
from edgeseg.commands.export import export
from edgeseg.commands.report import report
from edgeseg.commands.terminal import Size, Threads, emit_json, json_option, path_type, say
from edgeseg.commands.train import train
from edgeseg.errors import DataError, EdgesegError, UsageError


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


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="edgeseg")
def main() -> None:
    """Image segmentation on small devices: train, compress to int8, prove it, and blur backgrounds with it."""


for command in (bench, compress, data, export, report, train):
    main.add_command(command)

# --- report --------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("model", required=False)
@click.option("--size", type=Size(), help="Input size to count at. [default: the model's]")
@json_option
def models(model: str | None, size: tuple[int, int] | None, as_json: bool) -> None:
    """List the trained models that ship and, where torch is installed, the architectures to train.

    With MODEL (a name, a checkpoint, or a .tflite or .onnx file): what each of its layers costs, and what cannot be counted.
    """
    from edgeseg.report import costs
    from edgeseg.report.catalogue import count_model, list_models, to_table

    if model is not None:
        cost = count_model(model, size)
        if as_json:
            emit_json(costs.to_json(cost))
        else:
            click.echo(costs.to_table(cost))
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
    "--webcam",
    metavar="[CAMERA]",
    is_flag=False,
    flag_value="auto",
    help="A number, a name (see edgeseg doctor), picamera2[:N], nvargus[:N], a GStreamer pipeline, or synthetic; the first "
    "camera if none is named. This is the default input.",
)
@click.option(
    "--input",
    "-i",
    "source",
    metavar="PATH|URL",
    help="A picture, a folder of pictures, a video, or a stream (rtsp://, http://).",
)
@click.option("--background", "-b", metavar="blur|IMAGE|VIDEO|#rrggbb|green|transparent", default="blur", show_default=True)
@click.option("--strength", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Of the blur.")
@click.option(
    "--output",
    "-o",
    metavar="PATH|...",
    multiple=True,
    help="A picture, a folder or a video, as the input is; vcam[:DEVICE]; http://127.0.0.1:PORT; window; null. May be repeated."
    " [default: window]",
)
@click.option("--model", "-m", default="person", show_default=True, help="A trained model's name, or a .tflite or .onnx file.")
@click.option("--backend", type=click.Choice(["auto", "litert", "ort"]), default="auto", show_default=True)
@click.option("--threads", type=Threads(), default=1, show_default=True, help="Of the inference; auto measures, once.")
@making_options
@capture_options
@json_option
def blur(
    webcam: str | None,
    source: str | None,
    background: str,
    strength: float,
    output: tuple[str, ...],
    model: str,
    backend: Any,
    threads: int | Literal["auto"],
    making: Making,
    size: tuple[int, int] | None,
    fps: float | None,
    mirror: bool,
    config: Given | None,
    as_json: bool,
) -> None:
    """Blur or replace what is behind a person: from a webcam, a picture, a folder of pictures, a video or a stream.

    \b
    edgeseg blur --webcam                                       a window; its title names its keys
    edgeseg blur --webcam --output vcam                         a virtual camera for other programs
    edgeseg blur --webcam --output http://127.0.0.1:8080        a page, for boards without a screen
    edgeseg blur --input talk.mp4 --output out.mp4              a video, with its sound
    edgeseg blur -i me.jpg -b beach.jpg -o out.png              a virtual background
    edgeseg blur -i talk.mp4 -b transparent -o out.webm         the person alone
    """
    import signal

    from edgeseg.runtime import StageTimes, limit_threads, open_camera, open_source, run
    from edgeseg.runtime.control.controls import Settings
    from edgeseg.runtime.control.panel import Panel
    from edgeseg.runtime.sinks.transparent import transparent_outputs

    for stop in (signal.SIGINT, signal.SIGTERM):  # both end it in order; a shell starts background jobs with SIGINT ignored
        signal.signal(stop, signal.default_int_handler)
    webcam, source = choose_input(webcam, source)
    if threads == "auto":
        from edgeseg.runtime.probe import choose

        choice = choose(model, backend, say)
        backend, threads = choice.backend, choice.threads
    limit_threads(threads)
    # The model and background come before the camera: its light goes on only if all else is right.
    blurrer, times = making.open_blur(model, background, strength, backend, threads), StageTimes()
    opening = open_source(source) if source else open_camera(webcam or "auto", size, fps, mirror=mirror, say=tell)
    with (
        blurrer,
        opening as opened,
        Panel(blurrer, opened, Settings(background, strength, mirror), config=config, say=tell) as panel,
        transparent_outputs(output, opened, tell) if background == "transparent" else panel.outputs(output) as sink,
        shown_progress(opened.frames, times) as progress,
    ):

        def after_each(done: int, total: int | None) -> None:
            panel.tick()
            progress(done, total)

        report = run(opened, blurrer, sink, after_each, sync=making.sync, times=times)
    for stage, count in report.failures.items():
        say(f"{stage} failed on {count} frames, which were {'not written' if stage == 'sink' else 'hidden'}")
    if as_json:
        emit_json(report.to_json())
    else:
        stages = ", ".join(f"{name} {t['median']:.1f}" for name, t in report.stages_ms.items() if t["median"] is not None)
        click.echo(f"{report.frames} frames, {report.fps:.1f} a second; median ms: {stages}")


@main.command()
@click.option("--systemd-unit", is_flag=True, help="Instead: print a unit that runs edgeseg blur whenever you are logged in.")
@json_option
def doctor(systemd_unit: bool, as_json: bool) -> None:
    """What works on this machine: backends, cameras, virtual camera, window, models, heat, known-bad pairs of packages.

    Exit status 1 if something must be mended; what is optional and missing is only said.
    """
    from edgeseg.runtime.control.service import systemd_unit as unit
    from edgeseg.runtime.doctor.diagnosis import diagnose, versions

    if systemd_unit:
        click.echo(unit(), nl=False)
        return
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
@click.argument("file", type=path_type)
@click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="Set a field; may be repeated.")
@json_option
def spec(file: Path, assignments: tuple[str, ...], as_json: bool) -> None:
    """Show the Spec inside a model FILE: what it takes, what it gives, where it comes from; or attach or mend it.

    \b
    edgeseg spec model.tflite
    edgeseg spec theirs.onnx --set model=theirs --set classes=background,person --set person_class=1 --set output=logits
    """

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
