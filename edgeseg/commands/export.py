"""`edgeseg export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgeseg.commands.terminal import Bar, Numbers, Size, emit_json, json_option, path_type
from edgeseg.errors import MissingExtraError, UsageError


@click.command()
@click.argument("model", default="person")
@click.option("--weights", metavar="FILE", type=path_type, help="Of a network of your own (MODEL is module:Class): state dict.")
@click.option("--classes", metavar="A,B,..", help="Of a network of your own, in the order of its channels.")
@click.option("--person", metavar="CLASS", help="Which of them is the person, if one is.")
@click.option("--mean", type=Numbers(), default="0,0,0", show_default=True, help="Of RGB in 0..1, that it wants taken off.")
@click.option("--std", type=Numbers(), default="1,1,1", show_default=True, help="Of RGB in 0..1, that it wants divided by.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Argument of its class, as in depth=18.")
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
@click.option(
    "--calib-pictures", type=click.IntRange(1), default=64, show_default=True, help="How many of them ranges are measured on."
)
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
    weights: Path | None,
    classes: str | None,
    person: str | None,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    settings: tuple[str, ...],
    precision: Any,
    formats: tuple[Any, ...],
    io: Any,
    target: Any,
    opset: int,
    dynamic_batch: bool,
    size: tuple[int, int] | None,
    calib: Path | None,
    calib_pictures: int,
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

    MODEL is a name from `edgeseg models`, a checkpoint, or a network of your own as module:Class. Each file is run on pictures
    and compared with the network in float, pixel by pixel. Where --min-agreement or --max-miou-drop is given and int8 misses
    it, the fewest layers with which it is reached stay in float, and are named.

    \b
    edgeseg export --int8                                    the person model, both formats
    edgeseg export runs/best.safetensors --int8 --calib my-pictures --format tflite
    edgeseg export runs/best.safetensors --int8 --calib my-pictures --max-miou-drop 0.5 --sensitivity report
    edgeseg export my_net:MyNet --weights best.pth --classes background,person --person person --int8 --calib my-pictures
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
    from edgeseg.models.arguments import parse_arguments
    from edgeseg.models.checkpoint import load_model
    from edgeseg.models.foreign import is_foreign, load_foreign

    def say(message: str) -> None:
        click.echo(message, err=True)

    choices = Choices(precision or "float32", io, target, opset, dynamic_batch)
    stated = ctx.get_parameter_source("min_agreement") is not click.core.ParameterSource.DEFAULT
    if is_foreign(model):
        if weights is None:
            raise UsageError(f"{model} is a class without weights; name its state dict with --weights FILE")
        loaded = load_foreign(
            model,
            weights,
            classes=tuple(name.strip() for name in classes.split(",")) if classes else (),
            person=person,
            size=size or (256, 256),
            mean=mean,
            std=std,
            arguments=parse_arguments(settings),
        )
    elif weights or classes or person or settings or any(mean) or any(s != 1 for s in std):
        raise UsageError(
            "--weights, --classes, --person, --mean, --std and --set belong to a network of your own (module:Class)"
        )
    else:
        loaded = load_model(model)
    if model in MODELS:
        say(f"warning: {model} is an architecture with fresh weights; its answers mean nothing until it is trained")
    pictures = frames.from_folder(calib, calib_pictures) if calib is not None else frames.from_sample(calib_pictures)
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
