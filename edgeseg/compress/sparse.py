"""Sparsity without shape: single weights are set to zero, and the network keeps its layers.

`magnitude` zeroes the least weights anywhere; `n_of_m` keeps the n greatest of every m neighbours among the input channels,
which is the pattern that sparse tensor cores read (Mishra et al. 2021, arXiv 2104.08378). Both give `Masks`: call it with
the network now, and after every step of the optimizer while fine-tuning.

    masks = n_of_m(network, 2, 4)
    masks(network)
    ...
    optimizer.step(); masks(network)

Zeros make a file that compresses well. They make nothing faster by themselves: WHERE_IT_PAYS says which runtimes skip them.
To be faster everywhere, remove channels (`edgeseg.compress.prune`).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from edgeseg.compress.channels import CONVOLUTIONS, depthwise
from edgeseg.compress.importance import by_channel
from edgeseg.errors import UsageError
from edgeseg.models.shapes import HEAD

Scope = Literal["global", "layer"]

# What the runtimes' own documents and maintainers say; none of it is measured here.
WHERE_IT_PAYS = {
    "litert int8": "nothing: the quantised kernels are dense",
    "litert float, XNNPACK": "1x1 convolutions of which two thirds or more are zeros, in subgraphs that XNNPACK can run "
    "channels-first; its authors report 1.2 to 2.4 times (ai.googleblog.com, March 2021). No gain for 2:4",
    "onnxruntime, CPU": "nothing: sparse weights are made dense when the file is read (microsoft/onnxruntime issue 5578)",
    "TensorRT and cuSPARSELt, Ampere and later": "2:4 in fp16 and int8, where layers are wide: its maintainers saw gains from "
    "256 channels upwards (NVIDIA/TensorRT issue 4065). Jetson Orin has these cores, Nano and Xavier have not",
}


@dataclass(frozen=True)
class LayerSparsity:
    """How many of a layer's weights are zero; `reason` where none was touched."""

    name: str
    weights: int
    zeros: int
    reason: str = ""


@dataclass(frozen=True)
class Masks:
    """Layer -> which of its weights stay, True or False in the shape of the weight.

    left_alone  convolutions without a mask -> why
    """

    keep: Mapping[str, Tensor]
    left_alone: Mapping[str, str]
    where_it_pays: ClassVar[Mapping[str, str]] = WHERE_IT_PAYS

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        """Set the other weights of `network` to zero."""
        for name, keep in self.keep.items():
            weight = _weight(network.get_submodule(name))
            weight.mul_(keep.to(weight.device))

    def layers(self, network: nn.Module) -> list[LayerSparsity]:
        """The zeros of every convolution of `network`, in its order."""
        rows = []
        for name, layer in network.named_modules():
            if isinstance(layer, CONVOLUTIONS):
                zeros = int((layer.weight == 0).sum())
                rows.append(LayerSparsity(name, layer.weight.numel(), zeros, self.left_alone.get(name, "")))
        return rows


def magnitude(
    network: nn.Module,
    sparsity: float,
    *,
    scope: Scope = "global",
    protected: Sequence[str] = (HEAD,),
    depthwise_too: bool = False,
) -> Masks:
    """Masks that zero `sparsity` (0..1) of the weights that may go, the least by magnitude.

    scope          "global" compares weights of all layers after dividing by each layer's root mean square, "layer" zeroes
                   the same share of each
    protected      layers (paths or globs) that keep all
    depthwise_too  depthwise convolutions have few weights, and each matters: they are left alone
    """
    if not 0 <= sparsity < 1 or scope not in get_args(Scope):
        raise UsageError(f"a sparsity is 0 or more and below 1, a scope global or layer; got {sparsity}, {scope}")
    layers, left_alone = _prunable(network, protected, depthwise_too)
    if scope == "layer":
        return Masks({name: _greatest(_weight(layer).abs(), sparsity) for name, layer in layers.items()}, left_alone)
    weights = {name: _weight(layer).abs() for name, layer in layers.items()}
    relative = {name: weight / weight.square().mean().sqrt().clamp_min(1e-12) for name, weight in weights.items()}
    if not relative:
        return Masks({}, left_alone)
    keep = _greatest(torch.cat([value.flatten() for value in relative.values()]), sparsity)
    parts = torch.split(keep, [value.numel() for value in relative.values()])
    return Masks({name: part.reshape(relative[name].shape) for name, part in zip(relative, parts, strict=True)}, left_alone)


def n_of_m(network: nn.Module, n: int = 2, m: int = 4, *, protected: Sequence[str] = (HEAD,)) -> Masks:
    """Masks that keep the `n` greatest of every `m` consecutive input channels, for each output and kernel position.

    Layers whose input channels are not a multiple of `m` are left alone: there is no kernel for them.
    """
    if not 0 < n < m:
        raise UsageError(f"N:M sparsity keeps N of M weights, with 0 < N < M; got {n}:{m}")
    layers, left_alone = _prunable(network, protected, False)
    keep = {}
    for name, layer in layers.items():
        weight = _weight(layer).abs()
        inputs = by_channel(layer, weight, reads=True)  # (inputs, rest)
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            left_alone[name] = "it is a grouped convolution"
        elif len(inputs) % m:
            left_alone[name] = f"its {len(inputs)} input channels are no multiple of {m}"
        else:
            blocks = inputs.reshape(-1, m, inputs.shape[1])
            order = blocks.argsort(dim=1, descending=True, stable=True).argsort(dim=1)  # rank of each in its block
            axis = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
            keep[name] = (order < n).reshape(inputs.shape).reshape(weight.transpose(0, axis).shape).transpose(0, axis)
    return Masks(keep, left_alone)


def _prunable(network: nn.Module, protected: Sequence[str], depthwise_too: bool) -> tuple[dict[str, nn.Module], dict[str, str]]:
    layers: dict[str, nn.Module] = {}
    left_alone: dict[str, str] = {}
    for name, layer in network.named_modules():
        if not isinstance(layer, CONVOLUTIONS):
            continue
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in protected):
            left_alone[name] = "it is protected"
        elif depthwise(layer) and not depthwise_too:
            left_alone[name] = "it is depthwise"
        else:
            layers[name] = layer
    return layers, left_alone


def _greatest(values: Tensor, sparsity: float) -> Tensor:
    """True for all of `values` but the round(sparsity * n) least; of equal ones the first go."""
    keep = torch.ones(values.numel(), dtype=torch.bool)
    keep[values.flatten().argsort(stable=True)[: round(sparsity * values.numel())]] = False
    return keep.reshape(values.shape)


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer, CONVOLUTIONS)
    return layer.weight.detach()
