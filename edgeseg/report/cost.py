"""What a network costs before it meets a device: parameters, MACs and working memory, per layer and in sum.

One multiply-add is one MAC; FLOPs = 2 x MACs. The counter is PyTorch's own, a dictionary from operator to formula over the
shapes of its arguments (`torch.utils.flop_counter.flop_registry`); networks run on the meta device, so that nothing is
computed. A transposed convolution multiplies each of its input pixels with the whole kernel, and is counted so.

Limitations. Only convolutions and matrix products are multiply-adds in this sense. Normalisation (folded away by an
export), activations, additions, pooling and resizing are not; `Cost.uncounted` lists each with its number of calls, so that
nothing is dropped in silence. Biases are not counted. And MACs do not rank latency: depthwise convolutions and resizing are
bound by memory, so measure (`edgeseg bench`).
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

aten = torch.ops.aten
# They move, view or make data and compute nothing; all others without a formula are listed as uncounted.
MOVES = {
    aten.empty,
    aten.view,
    aten._unsafe_view,
    aten.t,
    aten.transpose,
    aten.permute,
    aten.expand,
    aten.slice,
    aten.select,
    aten.split,
    aten.split_with_sizes,
    aten.squeeze,
    aten.unsqueeze,
    aten.detach,
    aten.alias,
    aten.clone,
    aten._to_copy,
    aten.repeat,
    aten.cat,
    aten.stack,
    aten.constant_pad_nd,
    aten.pixel_shuffle,
    aten.lift_fresh,
}

Formula = Callable[..., int]  # shapes of the arguments, and `out_shape` by keyword -> MACs


@dataclass(frozen=True)
class LayerCost:
    """A module that has parameters of its own or multiplies; `name` is its path in the network."""

    name: str
    kind: str  # class of the module
    params: int
    macs: int


@dataclass(frozen=True)
class Cost:
    """Of one inference of one image."""

    size: tuple[int, int]  # (height, width) of the input
    params: int
    macs: int
    layers: tuple[LayerCost, ...]  # in the order of the network's modules
    activations: int  # elements that the hungriest operator reads and writes: no runtime can need fewer at once
    uncounted: dict[str, int]  # operator -> calls

    @property
    def flops(self) -> int:
        """2 x MACs."""
        return 2 * self.macs


def count(network: nn.Module, size: tuple[int, int], channels: int = 3, formulas: Mapping[Any, Formula] | None = None) -> Cost:
    """Cost of `network` in evaluation mode on an input (1, channels, height, width). The network is left as it was.

    formulas  for operators that PyTorch has none for, such as {torch.ops.mylib.my_conv: formula}
    """
    shadow = copy.deepcopy(network).to("meta").eval()
    own = {operator: _flops(formula) for operator, formula in (formulas or {}).items()}
    counter = FlopCounterMode(display=False, custom_mapping=own)
    watch = _Watch(shadow, counter.flop_registry.keys() | MOVES)
    with torch.no_grad(), counter, watch:
        shadow(torch.empty(1, channels, *size, device="meta"))
    return Cost(
        size=size,
        params=sum(p.numel() for p in network.parameters()),
        macs=counter.get_total_flops() // 2,
        layers=tuple(_layers(shadow, counter)),
        activations=watch.activations,
        uncounted=dict(watch.uncounted),
    )


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the operators that have no formula, and the most elements that one operator reads and writes."""

    def __init__(self, network: nn.Module, known: Collection[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights = {id(tensor) for tensor in [*network.parameters(), *network.buffers()]}
        self.known = known
        self.activations = 0
        self.uncounted: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket not in self.known:
            self.uncounted[func._overloadpacket.__name__] += 1
        tensors = {id(x): x.numel() for x in tree_leaves((args, kwargs, out)) if isinstance(x, Tensor)}
        self.activations = max(self.activations, sum(n for i, n in tensors.items() if i not in self.weights))
        return out


def _layers(network: nn.Module, counter: FlopCounterMode) -> Iterator[LayerCost]:
    """What each module costs beyond its children."""
    flops = {name: sum(by_operator.values()) for name, by_operator in counter.get_flop_counts().items()}
    root = type(network).__name__
    for name, module in network.named_modules():
        path = f"{root}.{name}" if name else root
        inside = sum(flops.get(f"{path}.{child}", 0) for child, _ in module.named_children())
        params = sum(p.numel() for p in module.parameters(recurse=False))
        macs = (flops.get(path, 0) - inside) // 2
        if params or macs:
            yield LayerCost(name or root, type(module).__name__, params, macs)


def _flops(formula: Formula) -> Formula:
    def doubled(*args: Any, **kwargs: Any) -> int:
        return 2 * formula(*args, **kwargs)

    return doubled
