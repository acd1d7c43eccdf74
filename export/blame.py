"""Which operator of a network, and which layer, a converter cannot take.

Converters fail with words of their own insides. So after a failure each kind of operator is converted alone, with tensors of
the shapes that it meets in the network; the first that fails is named with the layer it stands in.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

Convert = Callable[[nn.Module, tuple[Tensor, ...]], object]  # raises where it cannot


class OneOperator(nn.Module):
    """A call of one operator as in a graph: computed tensors are inputs, weights are constants."""

    def __init__(self, node: fx.Node, constants: dict[fx.Node, Tensor]) -> None:
        super().__init__()
        self.node = node
        self.inputs = [n for n in node.all_input_nodes if n not in constants]
        self.training = False
        for other in node.all_input_nodes:
            if other in constants:
                self.register_buffer(f"constant_{other.name}", constants[other].detach())

    def examples(self) -> tuple[Tensor, ...]:
        """Zeros of the inputs' shapes."""
        return tuple(torch.zeros(value.shape, dtype=value.dtype) for value in (n.meta["val"] for n in self.inputs))

    def forward(self, *inputs: Tensor) -> Any:
        given = dict(zip(self.inputs, inputs, strict=True))

        def value(node: fx.Node) -> Any:
            return given[node] if node in given else getattr(self, f"constant_{node.name}")

        args, kwargs = fx.map_arg((self.node.args, self.node.kwargs), value)
        return self.node.target(*args, **kwargs)  # type: ignore[operator]


def culprit(network: nn.Module, example: Tensor, convert: Convert) -> str | None:
    """'operator in layer' of the first that `convert` refuses; None where each passes alone or the graph cannot be had."""
    try:
        graph = torch.export.export(network, (example,), strict=False).module()
    except Exception:  # what torch.export cannot take has been said by the exporter already
        return None
    assert isinstance(graph, fx.GraphModule)
    constants = {n: _attribute(graph, str(n.target)) for n in graph.graph.nodes if n.op == "get_attr"}
    seen: set[Any] = set()
    for node in graph.graph.nodes:
        if node.op != "call_function" or node.target in seen or node.target is operator.getitem:
            continue
        seen.add(node.target)
        alone = OneOperator(node, constants)
        if not alone.inputs or not all(isinstance(n.meta.get("val"), Tensor) for n in alone.inputs):
            continue
        try:
            convert(alone, alone.examples())
        except Exception:  # converters raise whatever their parts raise
            return f"{node.target} in {layer_of(node)}"
    return None


def layer_of(node: fx.Node) -> str:
    """Path of the module in whose forward a node of an exported graph stands."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = next((str(path) for path, _ in reversed(stack) if path), "")
    return f"layer {path}" if path else "the network's own forward"


def _attribute(graph: fx.GraphModule, path: str) -> Any:
    owner, _, name = path.rpartition(".")
    return getattr(graph.get_submodule(owner), name)
