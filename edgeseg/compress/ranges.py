"""The int8 ranges of a network as a table: tensor -> (scale, zero point).

A tensor is named by the node of the graph that makes it (`relu_3`). Node names come from the order in which the network
computes: they are the same in every process and at every size, until the network or its rewrites change. Tensors that
share a range have one row, under the name of the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torchao.quantization.pt2e.observer import ObserverBase, PerChannelMinMaxObserver

from edgeseg.errors import ModelError

Range = tuple[float, int]  # scale, zero point of int8
READER = " in "  # between a tensor and the reader for which it is brought to a second range


class Fixed(ObserverBase):  # type: ignore[misc]
    """An observer that has made up its mind."""

    def __init__(self, scale: float = 1.0, zero_point: int = 0, **_: Any) -> None:
        super().__init__(torch.int8, False)
        self.quant_min, self.quant_max = -128, 127
        self.qscheme = torch.per_tensor_affine
        self.scale, self.zero_point = scale, zero_point

    def forward(self, x: Tensor) -> Tensor:
        return x

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        """(scale, zero point), one of each."""
        return torch.tensor([self.scale], dtype=torch.float32), torch.tensor([self.zero_point], dtype=torch.int64)


def observers(prepared: fx.GraphModule) -> dict[str, nn.Module]:
    """Name -> what stands at that range in a graph of `quantize.prepare`, activations only."""
    names: dict[nn.Module, str] = {}
    for node in prepared.graph.nodes:
        if node.op != "call_module" or not isinstance(node.args[0], fx.Node):
            continue
        module = prepared.get_submodule(str(node.target))
        if isinstance(module, ObserverBase) and not isinstance(module, PerChannelMinMaxObserver):
            name = _name(node, prepared)
            if module not in names or (READER in names[module] and READER not in name):
                # a float tensor has a range for each of its readers
                names[module] = name if name not in names.values() else _read_by(name, node)
    return {name: module for module, name in names.items()}


def _name(node: fx.Node, prepared: fx.GraphModule) -> str:
    """Of the tensor that `node` observes; where that has a range already and is brought to a second, of the reader also."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    if source.op != "call_module":
        return source.name
    return _read_by(_name(source, prepared), node)


def _read_by(name: str, observing: fx.Node) -> str:
    return f"{name}{READER}{next(iter(observing.users)).name}"


def weight_observers(prepared: fx.GraphModule) -> list[PerChannelMinMaxObserver]:
    """Those of the weights, which have a scale for each channel."""
    return [m for m in prepared.modules() if isinstance(m, PerChannelMinMaxObserver)]


def replace(prepared: fx.GraphModule, new: Mapping[nn.Module, nn.Module]) -> None:
    """Put other modules where the keys of `new` stand, wherever the graph calls them."""
    for name, module in list(prepared.named_modules(remove_duplicate=False)):
        if module in new:
            parent, _, last = name.rpartition(".")
            setattr(prepared.get_submodule(parent), last, new[module])


def ranges_of(prepared: fx.GraphModule) -> dict[str, Range]:
    """The ranges that observers have found (once the graph has run on pictures)."""
    table = {}
    for name, module in observers(prepared).items():
        scale, zero_point = module.calculate_qparams()  # type: ignore[operator]
        table[name] = (float(scale), int(zero_point))
    return table


def symmetrised(table: Mapping[str, Range]) -> dict[str, Range]:
    """The ranges widened until they lie evenly around zero, with zero points that are zero."""
    return {name: (scale * max(zero + 128, 127 - zero) / 127, 0) for name, (scale, zero) in table.items()}


def apply_ranges(prepared: fx.GraphModule, table: Mapping[str, Range]) -> None:
    """Give every tensor of a prepared graph the range that `table` says, in place of calibration.

    Weights need none: their scales are their largest values'. ModelError where the names are not those of the graph.
    """
    places = observers(prepared)
    wrong = sorted(places.keys() ^ table.keys())
    if wrong:
        raise ModelError(
            f"the checkpoint's int8 ranges do not fit its network: {len(wrong)} of {len(places)} differ, the first is "
            f"{wrong[0]!r}; they were trained by another version of edgeseg: repeat the training with --qat"
        )
    replace(prepared, {places[name]: Fixed(*table[name]) for name in places})
    for node in prepared.graph.nodes:  # calibration would have shown weights to their observers
        if node.op == "call_module" and isinstance(node.args[0], fx.Node) and node.args[0].op == "get_attr":
            owner, _, name = str(node.args[0].target).rpartition(".")
            prepared.get_submodule(str(node.target))(getattr(prepared.get_submodule(owner), name))
