"""Another decoder on features that are trained already.

A small DeepLabv3+ that was pruned is bound to what its decoder can say of outlines: one step from stride 32 to 4. The features
know more. This keeps them as they are, pruned or not, and puts `deeplabv3plus.Steps` with fresh weights behind them; or, where
there are such steps already, makes those wider, which at first changes nothing of what they say (Chen et al. 2016, Net2Net,
arXiv 1511.05641: the new channels are computed, but none of the old layers listens to them yet).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgeseg.errors import UsageError
from edgeseg.models.checkpoint import ModelCard
from edgeseg.models.deeplabv3plus import DeepLabV3Plus, Steps
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.models.shapes import Shape, table

KEPT = ("backbone.", "aspp.")
JOINT = ("decoder.", "head.")
PAPERS = ("decoder_channels", "low_channels")  # arguments of the decoder that goes


@torch.no_grad()
def with_steps(
    network: SegmentationNetwork, card: ModelCard, channels: Sequence[int], seed: int = 0, *, context: int | None = None
) -> tuple[SegmentationNetwork, ModelCard]:
    """`network`, a DeepLabv3+ of `card`, with a decoder in steps of so many `channels` (see `DeepLabV3Plus`), and its card.

    Backbone and context keep their weights; what the card says of accuracy and int8 ranges is gone. Steps that are there
    already keep theirs where no step gets fewer channels than it had, and the network computes what it did.

    context  channels of the context from now on, as many as it has or more, up to the architecture's `aspp_channels`

    UsageError for another architecture, for steps that it cannot take, and for a context that it cannot have.
    """
    if not isinstance(network, DeepLabV3Plus):
        raise UsageError(f"a decoder in steps is for DeepLabv3+, not for {card.architecture}; leave the step out")
    arguments = {name: value for name, value in card.arguments.items() if name not in PAPERS} | {"steps": list(channels)}
    pruned = card.shapes
    rewrites = {name: how for name, how in card.rewrites.items() if name.startswith(KEPT)}
    card = dataclasses.replace(card, arguments=arguments, rewrites=rewrites, shapes={}, accuracy={}, ranges={})
    plain = card.build()
    *finer, had = _given(network)
    context, most = context or had, _given(plain)[-1]
    if not had <= context <= most:
        raise UsageError(f"the context has {had} channels and may have up to {most}; {context} is out of that")
    if context > had and any(name.startswith("aspp.project") for name in rewrites):
        raise UsageError(
            "the context's projection was given another form, whose channels stay as they are; leave `context` out"
        )
    kept = {name: shape for name, shape in pruned.items() if name.startswith(KEPT)}
    torch.manual_seed(seed)
    rows = kept | (_context(network, context) if context > had else {}) | _joints(finer, channels, context)
    new = dataclasses.replace(card, shapes=rows).build(network.head.out_channels)
    kinds = KEPT + (JOINT if _widens(network, new) else ())
    own = new.state_dict()
    for name, value in network.state_dict().items():
        if name.startswith(kinds):
            _put(value, own[name], network.get_submodule(name.rpartition(".")[0]))
    return new, dataclasses.replace(card, shapes=table(new, plain))


def _widens(network: DeepLabV3Plus, new: nn.Module) -> bool:
    """Whether all of `network` fits into the first channels of `new`."""
    own = new.state_dict()
    return isinstance(network.decoder, Steps) and all(
        name in own and all(a <= b for a, b in zip(value.shape, own[name].shape, strict=True))
        for name, value in network.state_dict().items()
    )


def _put(value: Tensor, into: Tensor, layer: nn.Module) -> None:
    """Into the first channels of a weight of `layer`; its first outputs get nothing from the inputs that are new."""
    if value.ndim == 4 and isinstance(layer, nn.Conv2d) and layer.groups == 1:
        into[: len(value), value.shape[1] :] = 0
    into[tuple(slice(n) for n in value.shape)] = value


def _context(network: DeepLabV3Plus, context: int) -> dict[str, Shape]:
    """Rows of the layers that give the context."""
    project, pooled = network.aspp.project[0], network.aspp.project_pooled
    assert isinstance(project, nn.Conv2d)
    return {
        "aspp.project.0": (context, project.in_channels, 1, 1, 1),
        "aspp.project.1": (context,),
        "aspp.project_pooled": (context, pooled.in_channels, 1, 1, 1),
    }


def _given(network: nn.Module) -> list[int]:
    """Channels of the features of every stride, the finest first, and of the context in place of the deepest."""
    assert isinstance(network, DeepLabV3Plus)
    training = network.training
    *finer, deepest = network.eval().backbone(torch.zeros(1, 3, network.size_divisor, network.size_divisor))
    given = [features.shape[1] for features in (*finer, network.aspp(deepest))]
    network.train(training)
    return given


def _joints(finer: Sequence[int], channels: Sequence[int], context: int) -> dict[str, Shape]:
    """Rows of the layers that take what the kept part gives, by the channels that it has left."""
    rows: dict[str, Shape] = {
        "decoder.joined.0.0.0": (context, 1, 3, 3, context),
        "decoder.joined.0.0.1": (context,),
        "decoder.joined.0.1.0": (channels[0], context, 1, 1, 1),
    }
    for i, (skip, coarse) in enumerate(zip(finer[::-1][: len(channels)], [context, *channels[:-1]], strict=True)):
        rows |= {f"decoder.skips.{i}.0": (coarse, skip, 1, 1, 1), f"decoder.skips.{i}.1": (coarse,)}
    return rows
