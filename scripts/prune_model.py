"""Takes channels away from a trained person network until it has so many MACs; `edgeseg train` heals the result.

python scripts/prune_model.py runs/person-teacher/last.safetensors runs/person-pruned.safetensors --macs 95e6 --data DIR
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path

import click

from edgeseg.compress.prune import prune, pruned_card
from edgeseg.models.checkpoint import load_checkpoint, save_checkpoint
from edgeseg.train.data import read_folder, split
from edgeseg.train.samples import Augmentation, Pictures, from_pairs
from edgeseg.train.task import Task

path_type = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=path_type)
@click.argument("out", type=path_type)
@click.option("--macs", type=float, required=True, help="At the model's own size.")
@click.option(
    "--data",
    type=path_type,
    multiple=True,
    required=True,
    help="Folders that it was trained on; their held-back part stays so.",
)
@click.option("--batches", default=24, show_default=True, help="Of 32 pictures, to see which channels matter to the loss.")
@click.option("--rounds", default=4, show_default=True)
def main(model: Path, out: Path, macs: float, data: tuple[Path, ...], batches: int, rounds: int) -> None:
    opened = load_checkpoint(model)
    training, _ = split([pair for folder in data for pair in read_folder(folder)])
    chosen = training[:: max(1, len(training) // (32 * batches))]
    size = opened.card.size
    pictures = Pictures(from_pairs(chosen, round(max(size) * 1.25)), [], Augmentation(), 0)
    task = Task(opened.card.classes, loss_text=opened.card.loss)
    seen = list(pictures.batches([size, *opened.card.framings], 32))
    result = prune(opened.network, size, macs=macs, importance="taylor", batches=seen, loss=task.loss, rounds=rounds)
    click.echo(result)
    card = pruned_card(opened.card, result.network)
    line = f"{shlex.join(['python', *sys.argv])}; {result.macs_before / 1e6:.0f} to {result.macs / 1e6:.0f} MMAC"
    card = dataclasses.replace(card, training="\n".join([card.training, line]))
    save_checkpoint(out, result.network, card)


if __name__ == "__main__":
    main()
