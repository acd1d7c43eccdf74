"""How much a network would miss each channel.

    l1, l2   norms of the weights that write and read the channel (Li et al. 2017, arXiv 1608.08710)
    bn       the scale of its batch norms (network slimming, Liu et al. 2017, arXiv 1708.06519)
    fpgm     distance of its filter to all others of the layer: what is near the middle can be replaced (He et al. 2019, arXiv
             1811.00250)
    taylor   the square of the loss that removing it adds, to first order (Molchanov et al. 2019, arXiv 1906.10771)
    random   to compare with

Weights of layers of different sizes are no measure of one another: for l1, l2 and fpgm the channels of a layer have a mean
of 1. `bn` and `taylor` are comparable as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from edgeseg.compress.channels import CONVOLUTIONS, ChannelSet, depthwise
from edgeseg.errors import UsageError

Importance = Literal["l1", "l2", "bn", "fpgm", "taylor", "random"]
Loss = Callable[[Tensor, Any], Tensor]  # logits, truth -> scalar
TINY = 1e-12


def importances(
    network: nn.Module,
    sets: Sequence[ChannelSet],
    kind: Importance,
    *,
    batches: Iterable[tuple[Tensor, Any]] = (),
    loss: Loss | None = None,
    seed: int = 0,
) -> list[Tensor]:
    """(n,) float64 for each of `sets`, greater where more would be missed. `network` is left in evaluation mode.

    batches  for taylor: images (n, 3, h, w) and what `loss` compares their logits with. Many small batches say more than few
             large ones, since gradients within one cancel.
    """
    if kind not in get_args(Importance):
        raise UsageError(f"there is no importance {kind!r}; there are: {', '.join(get_args(Importance))}")
    network.eval()
    if kind == "taylor":
        return _taylor(network, sets, batches, loss)
    if kind == "random":
        generator = torch.Generator().manual_seed(seed)
        return [torch.rand(channels.count, generator=generator, dtype=torch.float64) for channels in sets]
    measure = {"l1": _norm(1), "l2": _norm(2), "bn": _scale, "fpgm": _distance}[kind]
    layers = dict(network.named_modules())
    with torch.no_grad():
        scores = [channels.mean(lambda path, reads: measure(layers[path], reads)) for channels in sets]
    return [
        torch.ones(channels.count, dtype=torch.float64) if score is None else score.double()
        for channels, score in zip(sets, scores, strict=True)
    ]


def by_channel(layer: nn.Module, values: Tensor, reads: bool) -> Tensor:
    """`values` of the shape of the layer's weight -> (channels, rest): of its inputs where `reads`, else of its outputs."""
    transposed = isinstance(layer, nn.ConvTranspose2d)
    axis = int(reads != transposed)
    return values.transpose(0, axis).flatten(1)


def _norm(p: int) -> Callable[[nn.Module, bool], Tensor | None]:
    def norm(layer: nn.Module, reads: bool) -> Tensor | None:
        if not isinstance(layer, CONVOLUTIONS):
            return None
        norms: Tensor = torch.linalg.vector_norm(by_channel(layer, layer.weight, reads), p, dim=1)
        return norms / norms.mean().clamp_min(TINY)

    return norm


def _scale(layer: nn.Module, reads: bool) -> Tensor | None:
    return layer.weight.abs() if isinstance(layer, nn.BatchNorm2d) else None


def _distance(layer: nn.Module, reads: bool) -> Tensor | None:
    if reads or not isinstance(layer, CONVOLUTIONS):
        return None
    filters = by_channel(layer, layer.weight, reads)
    distances = torch.cdist(filters, filters).sum(1)
    return distances / distances.mean().clamp_min(TINY)


def _taylor(
    network: nn.Module, sets: Sequence[ChannelSet], batches: Iterable[tuple[Tensor, Any]], loss: Loss | None
) -> list[Tensor]:
    """Mean over the batches of (sum over all that reads the channel of activation * gradient)^2.

    The sum over a reading layer's weights of weight * gradient is just that sum of activation * gradient. A depthwise
    convolution passes the channel on to what reads it, which is counted there.
    """
    if loss is None:
        raise UsageError("the importance taylor needs batches and a loss; give both, or take another importance")
    layers = dict(network.named_modules())
    read = {path for path, layer in layers.items() if isinstance(layer, CONVOLUTIONS) and not depthwise(layer)}
    readers = [
        [(layers[path], at) for (path, side), at in channels.places.items() if side == "in" and path in read]
        for channels in sets
    ]
    weights = list({id(layer): layer.weight for pairs in readers for layer, _ in pairs}.values())
    totals = [torch.zeros(channels.count, dtype=torch.float64) for channels in sets]
    count = 0
    for image, truth in batches:
        gradients = torch.autograd.grad(loss(network(image), truth), weights)
        gradient_of = {id(weight): gradient for weight, gradient in zip(weights, gradients, strict=True)}
        count += 1
        for total, pairs in zip(totals, readers, strict=True):
            change = torch.zeros_like(total)
            for layer, indices in pairs:
                product = (layer.weight.detach() * gradient_of[id(layer.weight)]).double()
                change += by_channel(layer, product, reads=True).sum(1)[indices].sum(1)
            total += change.square()
    if not count:
        raise UsageError("the importance taylor needs batches, and there are none; give some pictures")
    return [total / count for total in totals]
