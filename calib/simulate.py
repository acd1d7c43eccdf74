"""A prepared graph run in place: to collect ranges, in float, or rounded as its int8 file will round.

`prepare_pt2e` leaves a graph with an observer at every range. Converting it to try a set of ranges would take longer than
trying them, so the observers are exchanged for the time of a `with` block instead:

    with collecting(prepared): ...     tensors are counted
    with in_float(prepared): ...       tensors pass untouched
    with rounded(prepared): ...        tensors and weights are rounded to int8 by the ranges chosen so far

In each block `prepared(image)` gives logits. The graph itself stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn
from torchao.quantization.pt2e.observer import PerChannelMinMaxObserver

from edgeseg.calib.observers import HistogramObserver
from edgeseg.models.layer_names import layer_names

Make = Callable[[str, nn.Module], nn.Module]


class Rounded(nn.Module):
    """Rounds a tensor to int8 and back, and counts what lay outside of the range."""

    def __init__(self, scale: float, zero_point: int, count: bool = False) -> None:
        super().__init__()
        self.scale, self.zero_point = scale, zero_point
        self.low, self.high = (-128.5 - zero_point) * scale, (127.5 - zero_point) * scale  # half a step is rounding
        self.count = count
        self.values = self.clipped = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.count:
            self.values += x.numel()
            least, greatest = torch.aminmax(x)
            if least < self.low or greatest > self.high:
                self.clipped += int(torch.count_nonzero((x < self.low) | (x > self.high)))
        # As `torch.fake_quantize_per_tensor_affine`, which takes ten times as long.
        return x.mul(1 / self.scale).round_().clamp_(-128 - self.zero_point, 127 - self.zero_point).mul_(self.scale)


class Constant(nn.Module):
    """Gives one tensor whatever it gets: weights are rounded once, not for every picture."""

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value)

    def forward(self, x: Tensor) -> Tensor:
        return self.value


def ranges(prepared: fx.GraphModule) -> dict[str, HistogramObserver]:
    """Name -> observer, of every int8 range that pictures decide. A range has many names; the first in the graph is given."""
    found: dict[str, HistogramObserver] = {}
    seen: set[int] = set()
    for node in prepared.graph.nodes:
        module = _observer(prepared, node)
        if isinstance(module, HistogramObserver) and id(module) not in seen:
            seen.add(id(module))
            found[str(node.target)] = module
    return found


def tensors(prepared: fx.GraphModule) -> dict[str, str]:
    """Name of each range -> the layer whose result it holds, named as everywhere (`edgeseg.models.layer_names`)."""
    layers = layer_names(prepared.graph)
    names: dict[str, str] = {}
    for name in ranges(prepared):
        source = next(n for n in prepared.graph.nodes if n.op == "call_module" and n.target == name).args[0]
        while source.op == "call_module":  # brought from one range to another
            source = source.args[0]
        names[name] = layers.get(source, source.name)
    return names


def choose(prepared: fx.GraphModule, policy: str) -> None:
    """Give every range the ends that `policy` keeps of what was seen."""
    for observer in ranges(prepared).values():
        observer.chosen = observer.range(policy)


def refresh_weights(prepared: fx.GraphModule) -> None:
    """Measure the weights' own ranges anew; after they have been changed."""
    for node, observer in _weights(prepared):
        observer.reset_min_max_vals()
        observer(prepared.get_parameter(str(node.target)).detach())


@contextmanager
def collecting(prepared: fx.GraphModule) -> Iterator[list[HistogramObserver]]:
    """Observers count; to be told `end_picture` after each. Every value is counted once, however often it is moved."""
    observers = list(ranges(prepared).values())
    refresh_weights(prepared)
    repeats = _repeats(prepared)
    for observer in observers:
        peaks = observer.by_channel
        observer.clear()
        observer.by_picture, observer.by_channel = True, peaks
    with _exchanged(prepared, lambda name, module: _Through() if name in repeats or not _is_range(module) else module):
        yield observers


@contextmanager
def in_float(prepared: fx.GraphModule) -> Iterator[None]:
    """Nothing is rounded and nothing is counted."""
    with _exchanged(prepared, lambda name, module: _Through()):
        yield


@contextmanager
def rounded(prepared: fx.GraphModule, count: bool = False) -> Iterator[dict[str, Rounded]]:
    """Everything is rounded; yields name -> `Rounded` of every range, which count what they clip where `count`."""
    names = {id(observer): name for name, observer in ranges(prepared).items()}
    made: dict[int, Rounded] = {}
    values = {
        str(user.target): rounded_weight(prepared.get_parameter(str(node.target)).detach(), observer)
        for node, observer in _weights(prepared)
        for user in node.users
    }

    def make(name: str, module: nn.Module) -> nn.Module:
        if isinstance(module, HistogramObserver):
            if id(module) not in made:
                made[id(module)] = Rounded(*module.scale(), count)
            return made[id(module)]
        return Constant(values[name]) if name in values else _Through()

    with _exchanged(prepared, make):
        yield {names[key]: value for key, value in made.items()}


def rounded_weight(weight: Tensor, observer: PerChannelMinMaxObserver) -> Tensor:
    """`weight` on the grid of its observer: symmetric, one scale per channel."""
    observer.reset_min_max_vals()
    observer(weight)
    scale, zero_point = observer.calculate_qparams()
    return torch.fake_quantize_per_channel_affine(
        weight, scale.float(), zero_point.to(torch.int32), observer.ch_axis, observer.quant_min, observer.quant_max
    )


class _Through(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def _is_range(module: nn.Module) -> bool:
    return isinstance(module, HistogramObserver)


def _observer(prepared: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return prepared._modules.get(str(node.target)) if node.op == "call_module" else None


def _weights(prepared: fx.GraphModule) -> list[tuple[fx.Node, PerChannelMinMaxObserver]]:
    """(parameter, observer) of every weight."""
    return [
        (node.args[0], module)
        for node in prepared.graph.nodes
        if isinstance(module := _observer(prepared, node), PerChannelMinMaxObserver)
    ]


def _repeats(prepared: fx.GraphModule) -> set[str]:
    """Names of observers of tensors whose inputs are all in the same range already: pooled, moved or joined values."""
    names: set[str] = set()
    for node in prepared.graph.nodes:
        module = _observer(prepared, node)
        if not isinstance(module, HistogramObserver):
            continue
        inputs = node.args[0].all_input_nodes
        if inputs and all(_observer(prepared, n) is module for n in inputs):
            names.add(str(node.target))
    return names


@contextmanager
def _exchanged(prepared: fx.GraphModule, make: Make) -> Iterator[None]:
    """Every observer's place is taken by what `make` gives for its name and itself, until the end of the block."""
    kept = {
        name: module
        for name, module in prepared._modules.items()
        if module is not None and hasattr(module, "calculate_qparams")
    }
    try:
        for name, module in kept.items():
            prepared._modules[name] = make(name, module)
        yield
    finally:
        prepared._modules.update(kept)
