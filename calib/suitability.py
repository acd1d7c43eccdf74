"""Whether the calibration pictures are enough, and like those that come later or those the network was trained on.

Three measures, each with a limit that was chosen by trying (the shipped networks; 64 portraits, 64 pictures of other people,
street scenes, rooms without people, dark, single, blank and random pictures):

    too few          one picture's ranges clip 6 to 14 % of some tensor of the pictures that follow
    clipped share    of the tensor that loses the most on pictures which ranges were not measured on. Ranges of 64
                     photographs clipped at most 0.14 % of any tensor on photographs of every kind; those of one photograph
                     2 to 19 %
    training shift   how far the means of all layers are from what batch norms learnt, in standard deviations: 0.09 to
                     0.18 for photographs of every kind, 0.27 to 0.48 for noise and blank pictures
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from edgeseg.calib.simulate import rounded, tensors

FEW, ENOUGH = 16, 32
CLIPPED_LIMIT = 0.01
SHIFT_LIMIT = 0.23
SHIFT_PICTURES = 16


@dataclass(frozen=True)
class Clipped:
    """Values beyond the ranges."""

    share: float  # of all values of all tensors
    worst_share: float  # of the tensor that loses the most
    worst: str  # its layer


@torch.no_grad()
def clipped(prepared: fx.GraphModule, images: Sequence[Tensor]) -> Clipped:
    """What the chosen ranges of `prepared` clip on `images`; more than half a step beyond the last level counts."""
    names = tensors(prepared)
    with rounded(prepared, count=True) as ranges:
        for image in images:
            prepared(image)
    shares = {name: r.clipped / max(1, r.values) for name, r in ranges.items()}
    worst = max(shares, key=lambda name: shares[name])
    values = sum(r.values for r in ranges.values())
    return Clipped(sum(r.clipped for r in ranges.values()) / max(1, values), shares[worst], names[worst])


@torch.no_grad()
def training_shift(network: nn.Module, images: Sequence[Tensor]) -> float | None:
    """Mean distance of every channel's mean from its batch norm's, in that norm's standard deviations.

    None for a network without batch norms, or whose batch norms keep no statistics. `network` is in evaluation mode.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.running_mean is not None]
    means: dict[int, Tensor] = {}

    def note(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        means[id(norm)] = means.get(id(norm), torch.zeros(norm.num_features)) + inputs[0].mean((0, 2, 3))

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    count = min(SHIFT_PICTURES, len(images))
    try:
        for k in range(count):
            network(images[int((k + 0.5) * len(images) / count)])
    finally:
        for hook in hooks:
            hook.remove()
    shifts = []
    for norm in norms:
        if id(norm) in means and norm.running_mean is not None and norm.running_var is not None:
            off = means[id(norm)] / count - norm.running_mean
            shifts.append(float((off.abs() * torch.rsqrt(norm.running_var + norm.eps)).mean()))
    return sum(shifts) / len(shifts) if shifts else None


def of_number(pictures: int) -> list[str]:
    """What is to be said of so many pictures."""
    if pictures >= FEW:
        return []
    what = "1 picture" if pictures == 1 else f"{pictures} pictures"
    return [f"{what} for calibration; ranges from so few fit only them; give at least {ENOUGH}"]


def of_clipping(found: Clipped) -> list[str]:
    """What is to be said of values beyond the ranges."""
    if found.worst_share <= CLIPPED_LIMIT:
        return []
    return [
        f"the ranges clip {found.worst_share:.1%} of {found.worst} on the parity pictures (limit {CLIPPED_LIMIT:.0%}); "
        "calibrate on more pictures like those of the camera"
    ]


def of_shift(shift: float | None) -> list[str]:
    """What is to be said of pictures so far from the training's."""
    if shift is None or shift <= SHIFT_LIMIT:
        return []
    return [
        f"the calibration pictures are unlike the training's: the means of the layers are {shift:.2f} standard deviations off "
        f"(limit {SHIFT_LIMIT}); calibrate on pictures like those of the camera"
    ]
