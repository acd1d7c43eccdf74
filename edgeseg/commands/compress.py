"""`edgeseg compress`."""

from __future__ import annotations

import shlex
import sys
from contextlib import closing
from pathlib import Path

import click

from edgeseg.commands.terminal import Bar, Size, auxiliary_classes_option, emit_json, json_option, path_type, share_option
from edgeseg.errors import MissingExtraError, ShortfallError, UsageError


@click.command()
@click.argument("model")
@click.option("--recipe", metavar="NAME|FILE.toml", help="What to do: eighth, half, jetson, phone, pi4, pi5, third, or a FILE.")
@click.option("--data", type=path_type, multiple=True, help="Data folder (images/, masks/ or labels/); repeatable.")
@click.option("--validation", type=path_type, multiple=True, help="Data folder that only judges; needed with labels/.")
@click.option("--auxiliary", type=path_type, multiple=True, help="Folder (images/, labels/) to learn features from as well.")
@auxiliary_classes_option
@click.option("--backgrounds", type=path_type, help="Folder of pictures without people, to composite persons on.")
@click.option("--size", type=Size(), help="Input size of the result. [default: the model's]")
@click.option("--framing", "framings", type=Size(), multiple=True, help="Further input size of the result; repeatable.")
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="Of all training steps, or of each trial. [default: their epochs]",
)
@share_option
@click.option("--seed", default=0, show_default=True)
@click.option("--search", is_flag=True, help="Instead of a recipe: try many, and show which are worth it.")
@click.option("--trials", type=click.IntRange(1), help="With --search: how many, of all workers together. [default: 20]")
@click.option("--workers", type=click.IntRange(1), help="With --search: processes on this machine. [default: 1]")
@click.option("--storage", metavar="URL", help="With --search: data base that several machines share. [default: a file in DIR]")
@click.option("--dry-run", is_flag=True, help="Print the plan and end.")
@click.option("--verbose", is_flag=True, help="In the plan, the channels of every layer.")
@click.option("--resume", is_flag=True, help="Go on where an interrupted run in the same folder was.")
@click.option("-o", "--out", type=path_type, metavar="DIR", help="[default: runs/MODEL-RECIPE, or runs/MODEL-search]")
@json_option
def compress(
    model: str,
    recipe: str | None,
    data: tuple[Path, ...],
    validation: tuple[Path, ...],
    auxiliary: tuple[Path, ...],
    auxiliary_classes: bool,
    backgrounds: Path | None,
    size: tuple[int, int] | None,
    framings: tuple[tuple[int, int], ...],
    minutes: float | None,
    shares: tuple[str, ...],
    seed: int,
    search: bool,
    trials: int | None,
    workers: int | None,
    storage: str | None,
    dry_run: bool,
    verbose: bool,
    resume: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Make MODEL (a trained model's name or a checkpoint) small by a recipe: prune, train further, train for int8, export.

    The plan is printed first: multiply-adds and parameters before and after each step. A budget that cannot be met is refused
    then. Each step leaves a checkpoint and is judged on pictures that are held back; with --resume a run that was killed goes
    on. Where the accuracy that the recipe asks for is missed, the best result is kept, and the exit status is 1.

    With --search Optuna chooses pruning, substitution and bit width (and the width of an architecture, which is then trained),
    and those are shown of which none is better in accuracy, multiply-adds, bytes and latency. For workers on other machines
    give the same command with the same --storage there, --data being where it is on that machine; they should be alike, since
    latency counts. A trial whose worker was killed is taken up by another; --resume goes on with a search, or adds trials.

    \b
    edgeseg compress person --recipe pi4 --dry-run
    edgeseg compress person --recipe pi4 --data person-train --minutes 120 -o runs/person-pi4
    edgeseg compress runs/enet/last.safetensors --recipe mine.toml --data camvid/train --validation camvid/val
    edgeseg compress enet-person --search --trials 40 --workers 2 --minutes 10 --data person-train
    """
    try:
        from edgeseg.export.quiet import quiet

        with quiet():
            from edgeseg.recipes.compression import open_compression, plan
            from edgeseg.recipes.front import to_table, write
            from edgeseg.recipes.recipe import load_recipe, presets
            from edgeseg.recipes.run import compress as run
            from edgeseg.recipes.search import Search, finish, start
            from edgeseg.train.material import Folders
            from edgeseg.train.shares import parse_shares
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "export", "compressing") from None

    def tell(line: str) -> None:
        click.echo(line, err=True)

    drawn = parse_shares(shares)
    folders = Folders(data, validation, auxiliary, backgrounds, auxiliary_classes)
    command = shlex.join(["edgeseg", *sys.argv[1:]])
    if search:
        if recipe or dry_run or framings:
            raise UsageError("--recipe, --dry-run and --framing do not go with --search, which makes recipes of its own")
        out = out or Path("runs") / f"{Path(model).stem}-search"
        wanted = Search(model, folders, out, trials or 20, storage or "", size, seed, minutes, command, drawn)
        if not (resume or storage) and (out / "study.db").exists():
            raise UsageError(f"{out} holds a search already; --resume goes on with it, or give another -o")
        start(wanted, workers or 1, tell)
        tried, front, metric = finish(wanted)
        document = write(out, tried, front, metric, {"model": model, "seed": seed})
        if as_json:
            emit_json(document)
        else:
            click.echo(to_table(front, metric) + str(out / "front.png"))
        return
    if trials or workers or storage:
        raise UsageError("--trials, --workers and --storage belong to --search; add it, or leave them out")
    if recipe is None:
        raise UsageError(f"what is to be done? Give --search, or --recipe with a TOML file or one of: {', '.join(presets())}")
    opened = load_recipe(recipe)
    task = open_compression(
        model,
        opened,
        folders,
        out or Path("runs") / f"{Path(model).stem}-{opened.name}",
        size=size,
        framings=framings,
        seed=seed,
        minutes=minutes,
        command=command,
        shares=drawn,
    )
    planned = plan(task)
    if dry_run:
        if as_json:
            emit_json(planned.to_json())
        else:
            click.echo(planned.text(verbose))
        return
    tell(planned.text(verbose))
    with closing(Bar("training", eta=False)) as bar:
        show = bar.show if sys.stderr.isatty() and not as_json else lambda what, share: None
        outcome = run(task, planned, resume=resume, tell=bar.say, show=show)
    if as_json:
        emit_json(outcome.to_json())
    else:
        click.echo(outcome.markdown(), nl=False)
        click.echo(outcome.path)
    if outcome.missed:
        raise ShortfallError(f"{outcome.path} is the best that was reached, and short of {'; '.join(outcome.missed)}")
