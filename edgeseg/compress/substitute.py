"""Layers of a trained network replaced by cheaper forms, one after another, and what each of them saves and loses.

Each form is fitted on pictures as the already substituted network shows them to it, to what the original network gives at
that place: so it also makes up for the layers before it (Zhang et al. 2016, arXiv 1505.06798, section 3.3).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from edgeseg.compress.low_rank import lower_rank
from edgeseg.compress.moments import Moments, measure
from edgeseg.compress.plan import channels_and_macs, pixels_of
from edgeseg.compress.separable import separate
from edgeseg.errors import ModelError
from edgeseg.models.rewrites import Factored, LowRank, Rewrite, factored, put

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Substituted:
    """A layer and what stands for it.

    error_weights  relative error of its outputs with the form that is nearest in weights (the singular vectors)
    error          with the form that stands there now, fitted on pictures; without pictures both are of the weights
    """

    name: str
    rewrite: dict[str, Any]
    macs_before: int
    macs_after: int
    params_before: int
    params_after: int
    error_weights: float
    error: float


def substitute(
    network: Network,
    rewrites: Mapping[str, Rewrite],
    size: tuple[int, int],
    images: Sequence[Tensor] = (),
    on_layer: Callable[[Substituted], object] | None = None,
) -> tuple[Network, list[Substituted]]:
    """A copy of `network`, in evaluation mode, with the layers that `rewrites` names in other forms; and a row for each of
    them, in the order of inference. The card of the new network needs `card.rewrites | rewrites`.

    size    (height, width) of the input that MACs are counted at
    images  (n, 3, h, w) batches to fit the forms on; 40 pictures are enough to begin with, more are better. Without any,
            the forms are the nearest in weights

    Raises ModelError for a layer, kind or number that cannot be (`models.rewrites.factored`).
    """
    original = copy.deepcopy(network).eval()
    new = copy.deepcopy(original)
    for name, row in rewrites.items():
        factored(original, name, row)  # all are checked before the first is fitted
    macs = layer_macs(original, size)
    idle = rewrites.keys() - macs.keys()
    if idle:
        raise ModelError(f"layer {min(idle)} has no part in what the network computes; leave it out of the rewrites")
    done = []
    for name in sorted(rewrites, key=list(macs).index):
        dense = new.get_submodule(name)
        assert isinstance(dense, nn.Conv2d)
        moments = measure(new, [name], images, original)[name]
        row = dict(rewrites[name])
        plain, fitted = fit(dense, row), fit(dense, row, moments)
        put(new, name, fitted)
        before, after = dense.weight.numel(), weights_of(fitted)
        done.append(
            Substituted(
                name,
                row,
                macs[name],
                macs[name] * after // before,  # both run at the size of the output
                before,
                after,
                moments.error(dense_weight(plain)),
                moments.error(dense_weight(fitted)),
            )
        )
        if on_layer:
            on_layer(done[-1])
    return new, done


def fit(dense: nn.Conv2d, row: Rewrite, moments: Moments | None = None) -> Factored:
    """The form that `row` asks for, with weights that come nearest to `dense`: on pictures if there are `moments`."""
    return (
        separate(dense, row["multiplier"], moments) if row["kind"] == "separable" else lower_rank(dense, row["rank"], moments)
    )


def dense_weight(layer: Factored) -> Tensor:
    """(c_out, c_in * kh * kw) float64: the dense weight that a form stands for."""
    first, second = (getattr(layer, name).weight.detach().double().cpu() for name in (layer.first, layer.second))
    if isinstance(layer, LowRank):
        out: Tensor = second.flatten(1) @ first.flatten(1)
        return out
    c_in = layer.get_submodule(layer.first).in_channels
    kernels = first.reshape(c_in, -1, first[0].numel())  # (c_in, r, k)
    return torch.einsum("oij,ijk->oik", second.reshape(len(second), c_in, -1), kernels).flatten(1)


def weights_of(layer: nn.Module) -> int:
    """Multipliers of a layer: its weights without biases."""
    return sum(m.weight.numel() for m in layer.modules() if isinstance(m, nn.Conv2d))


def layer_macs(network: nn.Module, size: tuple[int, int]) -> dict[str, int]:
    """MACs of every convolution and linear layer for one image of `size` (height, width), in the order of inference."""
    return {name: macs for name, (_, macs) in channels_and_macs(network, pixels_of(network, size)).items()}
