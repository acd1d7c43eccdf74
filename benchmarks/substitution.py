"""What do cheaper forms of layers save, and what do they cost in IoU before anything is trained?

python benchmarks/substitution.py enet-person --data DIR                          every dense kernel, alone and all together
python benchmarks/substitution.py enet-person --data DIR --target 0.6 -o a.safetensors
                                                        the best of them until 60 % of the MACs are left; and as a checkpoint

Forms are fitted on pictures of DIR that a training learns from, and judged on those that it holds back.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from torch import Tensor, nn

from edgeseg.compress.choose import Candidate, candidates, choose
from edgeseg.compress.moments import measure
from edgeseg.compress.substitute import dense_weight, fit, layer_macs, substitute
from edgeseg.models.checkpoint import load_model, save_checkpoint
from edgeseg.models.rewrites import put
from edgeseg.report.cost import count
from edgeseg.train.data import Pair, load, read_folder, split
from edgeseg.train.samples import to_tensors


@click.command(help=__doc__)
@click.argument("model")
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="images/ with masks/ of persons.")
@click.option("--pictures", default=40, show_default=True, help="To fit the forms on.")
@click.option("--judged", default=80, show_default=True, help="Pictures that the IoU is of.")
@click.option("--target", type=float, help="Share of the MACs to be left; then forms are chosen, two kernels and ranks too.")
@click.option("--floor", type=float, help="The least IoU that the choice may have.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The chosen network as a checkpoint.")
def main(
    model: str, data: Path, pictures: int, judged: int, target: float | None, floor: float | None, output: Path | None
) -> None:
    opened = load_model(model)
    card, network = opened.card, opened.network
    learned, held = split(read_folder(data))
    images = [torch.stack(part) for part in batched([picture(pair, card.size)[0] for pair in spread(learned, pictures)], 8)]
    score = judge([picture(pair, card.size) for pair in spread(held, judged)])
    whole, iou = count(network, card.size).macs, score(network)
    click.echo(f"{model}: {whole / 1e6:.1f} MMAC, IoU {iou:.4f} on {len(spread(held, judged))} pictures held back\n")
    if target is None:
        found = candidates(network, card.size, multipliers=(1,), energies=())
        rewrites = {candidate.layer: candidate.rewrite for candidate in found}
        table(network, found, card.size, images, score, iou)
    else:
        found = candidates(network, card.size, images)
        choice = choose(network, found, card.size, int(target * whole), images, score=score, floor=floor)
        for step in choice.steps:
            click.echo(
                f"{step.candidate.layer:<18} {step.candidate.rewrite}  alone {-step.candidate.loss:+.4f}  "
                f"{step.macs / 1e6:.1f} MMAC, IoU {step.score:.4f}{'' if step.taken else '  passed over'}"
            )
        rewrites = choice.rewrites
    for name, seen in (("nearest in weights", []), ("fitted on pictures", images)):
        new, rows = substitute(network, rewrites, card.size, seen)
        errors = [row.error if seen else row.error_weights for row in rows]
        click.echo(
            f"\nall {len(rows)}, {name}: {count(new, card.size).macs / 1e6:.1f} MMAC, IoU {score(new):.4f}"
            + (f", relative errors {min(errors):.2f} to {max(errors):.2f}" if seen else "")
        )
    if output:
        save_checkpoint(output, new, dataclasses.replace(card, rewrites={**card.rewrites, **rewrites}, accuracy={}, ranges={}))


def table(
    network: nn.Module,
    found: Sequence[Candidate],
    size: tuple[int, int],
    images: Sequence[Tensor],
    score: Callable[[nn.Module], float],
    iou: float,
) -> None:
    click.echo("| layer alone | MMAC | saved | error, weights | error, pictures | IoU lost, weights | IoU lost, pictures |")
    click.echo("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    macs = layer_macs(network, size)
    moments = measure(network, [candidate.layer for candidate in found], images)
    for candidate in found:
        dense, seen = network.get_submodule(candidate.layer), moments[candidate.layer]
        assert isinstance(dense, nn.Conv2d)
        errors, lost = [], []
        for used in (None, seen):
            form = fit(dense, candidate.rewrite, used)
            errors.append(seen.error(dense_weight(form)))
            put(network, candidate.layer, form)
            lost.append(iou - score(network))
        put(network, candidate.layer, dense)
        click.echo(
            f"| {candidate.layer} | {macs[candidate.layer] / 1e6:.2f} | {candidate.macs_saved / 1e6:.2f} "
            f"| {errors[0]:.2f} | {errors[1]:.2f} | {lost[0]:+.4f} | {lost[1]:+.4f} |"
        )


def judge(pictures: Sequence[tuple[Tensor, Tensor]]) -> Callable[[nn.Module], float]:
    """IoU of the person over all pixels of `pictures`, at the network's input size."""

    @torch.no_grad()
    def score(network: nn.Module) -> float:
        hit = union = 0
        for image, person in pictures:
            logits = network.eval()(image[None])
            found = nn.functional.interpolate(logits, size=image.shape[1:], mode="bilinear", align_corners=False)[0, 0] > 0
            hit += int((found & person).sum())
            union += int((found | person).sum())
        return hit / max(1, union)

    return score


def picture(pair: Pair, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """image (3, h, w) RGB in 0..1, person (h, w) bool"""
    frame, mask = load(pair)
    frame, mask = (cv2.resize(array, size[::-1], interpolation=cv2.INTER_AREA) for array in (frame, mask))
    return to_tensors(np.asarray(frame, np.uint8), None)[0], torch.from_numpy(mask > 127)


def spread(pairs: Sequence[Pair], number: int) -> list[Pair]:
    """Evenly over `pairs`, which are in order of sources."""
    number = min(number, len(pairs))
    return [pairs[i * len(pairs) // number] for i in range(number)]


def batched(images: Sequence[Tensor], size: int) -> list[list[Tensor]]:
    return [list(images[i : i + size]) for i in range(0, len(images), size)]


if __name__ == "__main__":
    main()
