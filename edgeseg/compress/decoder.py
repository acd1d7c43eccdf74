"""Another decoder on features that are trained already.

A small DeepLabv3+ that was pruned is bound to what its decoder can say of outlines: one step from stride 32 to 4. The features
know more. This keeps them as they are, pruned or not, and puts `deeplabv3plus.Steps` with fresh weights behind them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from edgeseg.errors import UsageError
from edgeseg.models.checkpoint import ModelCard
from edgeseg.models.deeplabv3plus import DeepLabV3Plus
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.models.shapes import Shape, table

KEPT = ("backbone.", "aspp.")
PAPERS = ("decoder_channels", "low_channels")  # arguments of the decoder that goes


@torch.no_grad()
def with_steps(
    network: SegmentationNetwork, card: ModelCard, channels: Sequence[int], seed: int = 0
) -> tuple[SegmentationNetwork, ModelCard]:
    """`network`, a DeepLabv3+ of `card`, with a decoder in steps of so many `channels` (see `DeepLabV3Plus`), and its card.

    Backbone and context keep their weights; what the card says of accuracy and int8 ranges is gone. UsageError for another
    architecture, and for steps that it cannot take.
    """
    if not isinstance(network, DeepLabV3Plus):
        raise UsageError(f"a decoder in steps is for DeepLabv3+, not for {card.architecture}; leave the step out")
    arguments = {name: value for name, value in card.arguments.items() if name not in PAPERS} | {"steps": list(channels)}
    pruned = card.shapes
    rewrites = {name: how for name, how in card.rewrites.items() if name.startswith(KEPT)}
    card = dataclasses.replace(card, arguments=arguments, rewrites=rewrites, shapes={}, accuracy={}, ranges={})
    plain = card.build()
    kept = {name: shape for name, shape in pruned.items() if name.startswith(KEPT)}
    torch.manual_seed(seed)
    new = dataclasses.replace(card, shapes=kept | _joints(network, channels)).build(network.head.out_channels)
    own = new.state_dict()
    for name, value in network.state_dict().items():
        if name.startswith(KEPT):
            own[name].copy_(value)
    return new, dataclasses.replace(card, shapes=table(new, plain))


def _joints(network: DeepLabV3Plus, channels: Sequence[int]) -> dict[str, Shape]:
    """Rows of the layers that take what the kept part gives, by the channels that it has left."""
    training = network.training
    *finer, deepest = network.eval().backbone(torch.zeros(1, 3, network.size_divisor, network.size_divisor))
    context = network.aspp(deepest).shape[1]
    network.train(training)
    rows: dict[str, Shape] = {
        "decoder.joined.0.0.0": (context, 1, 3, 3, context),
        "decoder.joined.0.0.1": (context,),
        "decoder.joined.0.1.0": (channels[0], context, 1, 1, 1),
    }
    for i, (skip, coarse) in enumerate(zip(finer[::-1][: len(channels)], [context, *channels[:-1]], strict=True)):
        rows |= {f"decoder.skips.{i}.0": (coarse, skip.shape[1], 1, 1, 1), f"decoder.skips.{i}.1": (coarse,)}
    return rows
