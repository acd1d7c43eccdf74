"""Learning which channels can go, before any goes: a penalty beside the loss that drives whole channels to zero.

    penalty = channel_penalty(network, size)
    loss = task.loss(network(image), truth) + strength * penalty(network)

Every channel is charged for the multiply-adds that it costs (as in MorphNet, Gordon et al. 2018, arXiv 1711.06798), so that
what is expensive goes first. "bn" charges the scales of its batch norms (network slimming, Liu et al. 2017, arXiv
1708.06519), "group" all weights that write or read it. Both take one norm over all layers that the channel goes through
(group lasso, Yuan & Lin 2006), since it can only be removed from all of them. Weights before a batch norm have no scale of
their own, which is why "bn" is the usual choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from edgeseg.compress.channels import CONVOLUTIONS, channel_sets
from edgeseg.compress.importance import by_channel
from edgeseg.compress.plan import Plan, pixels_of
from edgeseg.compress.prune import guard, guarded_layers
from edgeseg.errors import UsageError
from edgeseg.models.layers import SegmentationNetwork

Kind = Literal["bn", "group"]
EPS = 1e-12  # under the root, whose slope at zero is infinite


def channel_penalty(
    network: SegmentationNetwork, size: tuple[int, int], kind: Kind = "bn", protected: Sequence[str] = ()
) -> Callable[[nn.Module], Tensor]:
    """A function from `network`, or a copy of it at any later step, to a scalar.

    It is the sum over channels of (share of the network's MACs on an image of `size` that go with the channel) times the norm
    of its scales or weights, so that "bn" gives about 2 for a network whose scales are 1: of two layers in a row, each
    counts the MACs of the other. Channels that cannot be removed and those of `protected` layers cost nothing.
    """
    if kind not in get_args(Kind):
        raise UsageError(f"there is no penalty {kind!r}; there are: {', '.join(get_args(Kind))}")
    guarded = guarded_layers(network, protected)
    sets = [guard(channels, guarded) for channels in channel_sets(network)]
    plan = Plan(network, sets, pixels_of(network, size))
    none = np.zeros(len(sets))
    shares = plan.freed(none, none + 1) / plan.macs(none)  # of one channel of each set
    charged = [
        (channels, float(share)) for channels, share in zip(sets, shares, strict=True) if share and not channels.fixed.all()
    ]

    def penalty(network: nn.Module) -> Tensor:
        layers = dict(network.named_modules())
        costs = [
            share * (squares + EPS).sqrt()[~channels.fixed].sum()
            for channels, share in charged
            if (squares := channels.mean(lambda path, reads: _squares(layers[path], reads, kind))) is not None
        ]
        return torch.stack(costs).sum() if costs else torch.zeros(())

    return penalty


def _squares(layer: nn.Module, reads: bool, kind: Kind) -> Tensor | None:
    """(channels,) squared scale of a batch norm, or mean square of the weights that write or read each channel."""
    if kind == "bn":
        return layer.weight.square() if isinstance(layer, nn.BatchNorm2d) else None
    return by_channel(layer, layer.weight.square(), reads).mean(1) if isinstance(layer, CONVOLUTIONS) else None
