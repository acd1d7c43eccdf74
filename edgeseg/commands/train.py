"""`edgeseg train`."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from contextlib import closing
from pathlib import Path

import click

from edgeseg.commands.terminal import Bar, Size, auxiliary_classes_option, emit_json, path_type, share_option
from edgeseg.errors import MissingExtraError, UsageError


@click.command()
@click.argument("model")
@click.option("--data", "data", type=path_type, multiple=True, required=True, help="Data folder (images/, masks/); repeatable.")
@click.option("--validation", type=path_type, multiple=True, help="Data folder that only judges; needed with labels/.")
@click.option("--auxiliary", type=path_type, multiple=True, help="Folder (images/, labels/) to learn features from as well.")
@auxiliary_classes_option
@click.option("--backgrounds", type=path_type, help="Folder of pictures without people, to composite persons on.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Argument of a new network, as in width=0.5.")
@click.option("--initial", help="Model or checkpoint, or ImageNet weights (.pth), to begin with.")
@click.option("--size", type=Size(), help="Input size to train for. [default: the model's, or 256x256]")
@click.option("--framing", "framings", type=Size(), multiple=True, help="Train at these sizes in turn; repeatable.")
@click.option("--full-size", is_flag=True, help="No smaller pictures first: for a network that is trained already.")
@click.option("--qat", is_flag=True, help="Train a trained MODEL further with int8 imitated; export takes over its ranges.")
@click.option(
    "--teacher", metavar="MODEL", help="Imitate this one's answers beside the truth. [default: none; with --qat MODEL in float]"
)
@click.option(
    "--distil-weight", type=click.FloatRange(0, min_open=True), help="Of --teacher's answers. [default: 1; with --qat 10]"
)
@click.option("--temperature", type=click.FloatRange(0, min_open=True), help="That softens both's answers. [default: 2]")
@click.option("--distil-boundary", type=click.FloatRange(0), default=0.0, help="Weight of its answers along outlines.")
@click.option("--distil-features", type=click.FloatRange(0), default=0.0, help="Weight of what its layers give.")
@click.option(
    "--distil-scale",
    type=click.FloatRange(0.25, 4),
    default=1.0,
    help="How much larger than the trained network's --teacher's pictures are: 1.333 enlarges 192x320 to 256x416.",
)
@click.option("--distil-mirrored", is_flag=True, help="--teacher answers for the picture and its mirror image, the mean.")
@click.option(
    "--hint", "hints", multiple=True, metavar="LAYER[=LAYER]", help="A layer that --distil-features compares; repeatable."
)
@click.option(
    "--distil/--no-distil", default=True, show_default=True, help="With --qat: imitate a teacher, or the truth alone."
)
@click.option("--epochs", type=click.IntRange(1), help="Length of the schedule. [default: 60; with --qat 10]")
@click.option("--minutes", type=float, help="Shrink the schedule so that it ends by then.")
@click.option("--batch", type=click.IntRange(1), help="[default: 32; with --qat 16]")
@click.option("--accumulate", default=1, show_default=True, type=click.IntRange(1), help="Batches to a step of the optimizer.")
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
@click.option(
    "--schedule",
    "policy",
    type=click.Choice(["cosine", "poly"]),
    default="cosine",
    show_default=True,
    help="How the learning rate falls; poly has power 0.9.",
)
@share_option
@click.option("--seed", default=0, show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="[default: a graphics card where there is one]")
@click.option(
    "--precision",
    type=click.Choice(["bf16", "float32"]),
    default="bf16",
    show_default=True,
    help="Of convolutions; a processor without bf16 arithmetic is faster in float32.",
)
@click.option("--resume", is_flag=True, help="Go on after the newest finished epoch, to the same result.")
@click.option("--tensorboard", is_flag=True, help="Write an event file for TensorBoard beside curves.png.")
@click.option("-o", "--out", type=path_type, help="Folder for checkpoint and log. [default: runs/MODEL]")
@click.option("--json", "as_json", is_flag=True, help="Print the validation scores as JSON on stdout.")
def train(
    model: str,
    data: tuple[Path, ...],
    validation: tuple[Path, ...],
    auxiliary: tuple[Path, ...],
    auxiliary_classes: bool,
    backgrounds: Path | None,
    settings: tuple[str, ...],
    initial: str | None,
    size: tuple[int, int] | None,
    framings: tuple[tuple[int, int], ...],
    full_size: bool,
    qat: bool,
    teacher: str | None,
    distil_weight: float | None,
    temperature: float | None,
    distil_boundary: float,
    distil_features: float,
    distil_scale: float,
    distil_mirrored: bool,
    hints: tuple[str, ...],
    distil: bool,
    epochs: int | None,
    minutes: float | None,
    batch: int | None,
    accumulate: int,
    learning_rate: float | None,
    loss: str,
    class_weighting: str,
    policy: str,
    shares: tuple[str, ...],
    seed: int,
    device: str | None,
    precision: str,
    resume: bool,
    tensorboard: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train MODEL (an architecture, a trained model or a checkpoint) on persons and their masks, or on labelled classes.

    Of folders with masks/ a tenth of every source is held back for validation; folders with labels/ need one that is
    held back (--validation). Writes last.safetensors, state.pt, log.csv and
    curves.png. Several processes, on one machine or with a graphics card each: torchrun --nproc-per-node 2 -m edgeseg train ...

    EXPR adds losses with weights, as in "ce + 0.5*dice + 0.1*boundary" or "focal(gamma=2) + lovasz". There are ce (options:
    border, unet), focal (gamma, alpha), dice, jaccard, tversky (fp, fn), focal_tversky (fp, fn, gamma), lovasz (per_image),
    boundary and hausdorff (alpha).

    \b
    edgeseg train deeplabv3plus-mobilenetv2 --data person-train --auxiliary voc/train --backgrounds rooms
    edgeseg train enet --set activation=relu --data camvid/train --validation camvid/val --size 360x480
    edgeseg train runs/enet/last.safetensors --qat --data camvid/train --validation camvid/val -o runs/enet-qat
    """
    try:
        from edgeseg.models.arguments import parse_arguments
        from edgeseg.models.distil import load_teacher
        from edgeseg.models.hints import parse_hints
        from edgeseg.train.distributed import in_company, processes
        from edgeseg.train.material import Folders
        from edgeseg.train.run import train_model
        from edgeseg.train.schedule import FULL, Schedule
        from edgeseg.train.shares import parse_shares
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "export", "training") from None
    out = out or Path("runs") / (f"{Path(model).stem}-qat" if qat else Path(model).stem)
    folders = Folders(data, validation, auxiliary, backgrounds, auxiliary_classes)
    command = shlex.join(["edgeseg", *(a for a in sys.argv[1:] if a != "--resume")])  # what repeats it, for the card

    if qat:
        from edgeseg.export.quiet import quiet

        with quiet():  # torchao's talk of what else could be installed
            from edgeseg.compress.qat import Plan
            from edgeseg.train.qat import train_for_int8
        if in_company():
            raise UsageError("--qat trains in one process; start it without torchrun")
        if settings or initial or framings or loss or class_weighting != "none":
            raise UsageError("--set, --initial, --framing, --loss and --class-weights do not go with --qat: MODEL has its own")
        if shares or accumulate > 1 or tensorboard or device == "cuda" or (policy, precision) != ("cosine", "bf16"):
            raise UsageError(
                "--share, --accumulate, --tensorboard, --device cuda, --schedule and --precision do not go with --qat"
            )
        if distil_boundary or distil_features or hints or distil_scale != 1 or distil_mirrored:
            raise UsageError(
                "--distil-boundary, --distil-features, --distil-scale, --distil-mirrored and --hint do not go with --qat; "
                "leave them out"
            )
        if not distil and (teacher or distil_weight or temperature):
            raise UsageError("--no-distil leaves --teacher, --distil-weight and --temperature without a purpose; leave it out")
        plan = Plan(epochs=epochs or 10, minutes=minutes)
        plan = dataclasses.replace(plan, distil=(distil_weight or plan.distil) if distil else 0.0)
        plan = dataclasses.replace(plan, temperature=temperature or plan.temperature)
        if learning_rate is not None:
            plan = dataclasses.replace(plan, learning_rate=learning_rate)
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
            tell=lambda line: click.echo(line, err=True),
        )
    else:
        if not distil:
            raise UsageError("--no-distil belongs to --qat; add it, or leave it out")
        if not teacher and (distil_weight or temperature):
            raise UsageError("--distil-weight and --temperature belong to --teacher or --qat; add one, or leave them out")
        if not teacher and (distil_boundary or distil_features):
            raise UsageError("--distil-boundary and --distil-features belong to --teacher; add one, or leave them out")
        if not teacher and (distil_scale != 1 or distil_mirrored):
            raise UsageError("--distil-scale and --distil-mirrored belong to --teacher; add one, or leave them out")
        if hints and not distil_features:
            raise UsageError("--hint belongs to --distil-features W; add it, or leave --hint out")
        guide = None
        if teacher:
            guide = load_teacher(
                teacher,
                distil_weight or 1.0,
                temperature or 2.0,
                boundary=distil_boundary,
                features=distil_features,
                scale=distil_scale,
                mirrored=distil_mirrored,
                layers=parse_hints(hints),
            )
        schedule = Schedule(
            epochs=epochs or 60,
            minutes=minutes,
            batch=batch or 32,
            accumulate=accumulate,
            policy=policy,
            precision=precision,
            seed=seed,
            framings=framings,
        )
        if learning_rate is not None:
            schedule = dataclasses.replace(schedule, learning_rate=learning_rate)
        if full_size:
            schedule = dataclasses.replace(schedule, sizes=FULL)
        with processes(device) as where, closing(Bar("training", eta=False)) as bar:
            silent = not where.first
            scores = train_model(
                model,
                folders,
                out,
                schedule,
                arguments=parse_arguments(settings),
                initial=initial,
                teacher=guide,
                size=size,
                loss=loss,
                class_weighting=class_weighting,
                command=command,
                shares=parse_shares(shares),
                where=where,
                resume=resume,
                tensorboard=tensorboard,
                tell=(lambda line: None) if silent else bar.say,
                show=bar.show if sys.stderr.isatty() and not (silent or as_json) else lambda what, share: None,
            )
        if silent:
            return
    if as_json:
        emit_json(scores)
    else:
        click.echo(f"{out / 'last.safetensors'}: validation IoU {next(iter(scores.values()), float('nan')):.4f}")
