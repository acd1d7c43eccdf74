"""Layers that another form stands for: a dense convolution as depthwise + pointwise, a pointwise one as two of low rank.

A checkpoint names them in its card (`ModelCard.rewrites`), so that the network is rebuilt from a table and no code:

    {"stage2.1.conv.0": {"kind": "separable", "multiplier": 1}, "aspp.project.0": {"kind": "low_rank", "rank": 24}}

Here are only the forms, with fresh weights; `edgeseg.compress` finds weights with which they stand for trained layers.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from edgeseg.errors import ModelError
from edgeseg.models.shapes import HEAD

Rewrite = Mapping[str, Any]  # "kind", and the one number that the kind has
NUMBER = {"separable": "multiplier", "low_rank": "rank"}
IMAGE_CHANNELS = 3


class Factored(nn.Module):
    """Two convolutions for one, of the same stride, padding and dilation, with nothing between. The second has the bias."""

    first: str  # names of the two
    second: str

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        super().__init__()
        self.add_module(self.first, first)
        self.add_module(self.second, second)

    @property
    def last(self) -> nn.Conv2d:
        """The convolution that a batch norm behind this layer belongs to."""
        conv: nn.Conv2d = getattr(self, self.second)
        return conv

    def replace_last(self, conv: nn.Module) -> None:
        setattr(self, self.second, conv)


class Separable(Factored):
    """x -> pointwise(depthwise(x)): `multiplier` spatial kernels for each input channel, then a 1x1 convolution of all.

    depthwise  (c_in * multiplier, 1, kh, kw); those of one input channel are neighbours
    pointwise  (c_out, c_in * multiplier, 1, 1)
    """

    first, second = "depthwise", "pointwise"
    depthwise: nn.Conv2d
    pointwise: nn.Conv2d

    def __init__(self, dense: nn.Conv2d, multiplier: int = 1) -> None:
        inner = dense.in_channels * multiplier
        super().__init__(
            _convolution(dense, dense.in_channels, inner, groups=dense.in_channels),
            nn.Conv2d(inner, dense.out_channels, 1, bias=dense.bias is not None),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(x))
        return out


class LowRank(Factored):
    """x -> expand(reduce(x)): a 1x1 convolution of rank `rank`. reduce (rank, c_in, 1, 1), expand (c_out, rank, 1, 1)."""

    first, second = "reduce", "expand"
    reduce: nn.Conv2d
    expand: nn.Conv2d

    def __init__(self, dense: nn.Conv2d, rank: int) -> None:
        super().__init__(
            _convolution(dense, dense.in_channels, rank),  # a stride is here, where it saves the most
            nn.Conv2d(rank, dense.out_channels, 1, bias=dense.bias is not None),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.expand(self.reduce(x))
        return out


def rewrite(network: nn.Module, rewrites: Mapping[str, Rewrite]) -> None:
    """Put fresh `Separable` and `LowRank` in place of the layers that `rewrites` names, in its order.

    A later row may name a part of an earlier one (`x.pointwise` of a separable `x`). ModelError for what cannot be.
    """
    if not isinstance(rewrites, Mapping):
        raise ModelError(f"rewrites are a table from layers to what stands for them, got {rewrites!r}")
    for name, row in rewrites.items():
        put(network, name, factored(network, name, row))


def factored(network: nn.Module, name: str, row: Rewrite) -> Factored:
    """What `row` asks for in place of the layer `name`, with fresh weights; the network is left alone. ModelError."""
    layer = dict(network.named_modules()).get(name) if name else None
    if layer is None:
        convolutions = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)]
        near = ", ".join(difflib.get_close_matches(name, convolutions, 3, cutoff=0.3) or convolutions[:3])
        raise ModelError(f"there is no layer {name!r} to rewrite; near it: {near}")
    kind = row.get("kind") if isinstance(row, Mapping) else None
    if not isinstance(kind, str) or kind not in NUMBER:
        raise ModelError(f"layer {name} cannot be rewritten as {row!r}; the kind must be one of: {', '.join(NUMBER)}")
    option = NUMBER[kind]
    if row.keys() != {"kind", option}:
        raise ModelError(f"layer {name} as {kind} needs {option!r} and nothing else, got {', '.join(map(repr, row)) or 'none'}")
    reason = "it gives the logits, and training may add channels to them; leave it dense" if name == HEAD else None
    if (reason := why_not(layer, kind) or reason) is not None:
        raise ModelError(f"layer {name} cannot be rewritten as {kind}: {reason}")
    assert isinstance(layer, nn.Conv2d)
    number, most = row[option], greatest(layer, kind)
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= most:
        raise ModelError(f"layer {name} as {kind} has {option} {number!r}; it must be a whole number from 1 to {most}")
    return Separable(layer, number) if kind == "separable" else LowRank(layer, number)


def why_not(layer: nn.Module, kind: str) -> str | None:
    """Why a layer has no form of this kind; None where it has."""
    if not isinstance(layer, nn.Conv2d):
        return f"it is a {type(layer).__name__}; choose a Conv2d"
    if layer.groups > 1:
        return f"it has {layer.groups} groups; choose a dense convolution"
    if layer.in_channels <= IMAGE_CHANNELS:
        return "it reads the image, whose channels have little in common with its own; leave it dense"
    pointwise = tuple(layer.kernel_size) == (1, 1)
    if kind == "separable" and pointwise:
        return "its kernel is 1x1; low_rank is for those"
    if kind == "low_rank" and not pointwise:
        return f"its kernel is {'x'.join(map(str, layer.kernel_size))}; separable is for those"
    return None


def greatest(layer: nn.Conv2d, kind: str) -> int:
    """The multiplier or rank beyond which nothing is gained: with it the form is exact."""
    if kind == "separable":
        return min(layer.kernel_size[0] * layer.kernel_size[1], layer.out_channels)
    return min(layer.in_channels, layer.out_channels)


def put(network: nn.Module, name: str, layer: nn.Module) -> None:
    """Let `layer` stand where the one at the path `name` stood."""
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, layer)


def _convolution(dense: nn.Conv2d, c_in: int, c_out: int, groups: int = 1) -> nn.Conv2d:
    """Of the geometry of `dense`, without a bias."""
    geometry: Any = (dense.kernel_size, dense.stride, dense.padding, dense.dilation, groups, False, dense.padding_mode)
    return nn.Conv2d(c_in, c_out, *geometry)
