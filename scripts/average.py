"""The mean of the weights and batch-norm statistics of trainings that went on from each other, which is often better than any.

python scripts/average.py runs/mean.safetensors runs/first/last.safetensors runs/second/last.safetensors

--weight counts one of them more than others, in the same order; --logit then moves the threshold at which a pixel is person.
The card is that of the last one, with this command after its own (Izmailov et al. 2018; Wortsman et al. 2022).
"""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import click
import torch

from edgeseg.errors import EdgesegError
from edgeseg.models.checkpoint import Model, load_checkpoint, save_checkpoint

path_type = click.Path(path_type=Path)


def weighted(values: list[torch.Tensor], counts: tuple[float, ...]) -> torch.Tensor:
    """Their mean where each counts so much."""
    return torch.stack([count * value for count, value in zip(counts, values, strict=True)]).sum(0) / sum(counts)


def lean_to_person(model: Model, logit: float) -> None:
    """Add to the logit of the person, so that pixels from a probability of sigmoid(-logit) on are person.

    ValueError where the network has no person, or no last layer `head` with a bias.
    """
    bias, person = getattr(getattr(model.network, "head", None), "bias", None), model.card.person_class
    if person is None or bias is None:
        raise ValueError("--logit is for networks of this project with a person among their classes")
    with torch.no_grad():
        if len(bias) == 1:  # the logit of the second of two classes
            bias += logit if person == 1 else -logit
        else:
            bias[person] += logit


@click.command(help=__doc__)
@click.argument("out", type=path_type)
@click.argument("models", type=path_type, nargs=-1, required=True)
@click.option("--weight", "weights", type=click.FloatRange(0, min_open=True), multiple=True, help="Of each model. [default: 1]")
@click.option("--logit", type=click.FloatRange(-5, 5), default=0.0, help="Added to the logit of the person.")
def main(out: Path, models: tuple[Path, ...], weights: tuple[float, ...], logit: float) -> None:
    if weights and len(weights) != len(models):
        raise click.UsageError(f"--weight is given {len(weights)} times, for {len(models)} models; give one for each, or none")
    counts = weights or (1.0,) * len(models)
    try:
        opened = [load_checkpoint(path) for path in models]
    except EdgesegError as error:
        raise click.ClickException(str(error)) from None
    network, card = opened[-1].network, opened[-1].card
    states = [each.network.state_dict() for each in opened]
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    if any(each != shapes[-1] for each in shapes):
        raise click.ClickException("only models of the same layers can be averaged")
    # Batch norm counts its batches in integers, which nothing reads after training.
    mean = {
        name: weighted([state[name] for state in states], counts) if value.is_floating_point() else value
        for name, value in states[-1].items()
    }
    network.load_state_dict(mean)
    given = [word for weight in weights for word in ("--weight", f"{weight:g}")]
    if logit:
        given += ["--logit", f"{logit:g}"]
        try:
            lean_to_person(opened[-1], logit)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    command = shlex.join(["python", "scripts/average.py", *given, str(out), *map(str, models)])
    save_checkpoint(out, network, dataclasses.replace(card, training=f"{card.training}\n{command}", accuracy={}, ranges={}))


if __name__ == "__main__":
    main()
