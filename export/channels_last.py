"""Operators that LiteRT's channels-last kernels lack, or that litert-torch surrounds with transposes, in others that they have.

litert-torch turns a channels-first graph into channels-last operator by operator. Paddings and broadcast
constants it leaves channels-first, between two transposes each, and TFLite's nearest-neighbour enlargement has no
kernel in XNNPACK, which splits the graph. Each function here computes the same values; in channels-last memory
an enlargement is a concatenation and a change of shape, nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

aten = torch.ops.aten


class Lowered(nn.Module):
    """A graph from `torch.export`, run with the operators of LOWERINGS in place of its own."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.training = False  # in place of eval(), which an exported graph refuses
        self.body = graph  # `graph` is a name that torch.export has taken

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = _Interpreter(self.body).run(image)
        return logits


class _Interpreter(fx.Interpreter):
    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        return super().call_function(LOWERINGS.get(target, target), args, kwargs)


def lower(network: nn.Module, size: tuple[int, int]) -> nn.Module:
    """`network`, which takes and gives (n, h, w, c), in operators that stay channels-last."""
    graph = torch.export.export(network, (torch.zeros(1, *size, 3),), strict=False).module()
    assert isinstance(graph, fx.GraphModule)
    fold_constants(graph)
    return Lowered(graph)


def fold_constants(graph: fx.GraphModule) -> None:
    """Compute once what depends on constants alone, such as the tiled weights of a pooling mask."""
    constants: dict[fx.Node, Any] = {}
    for node in list(graph.graph.nodes):
        if node.op == "get_attr":
            constants[node] = _attribute(graph, str(node.target))
        elif node.op == "call_function" and node.all_input_nodes and all(n in constants for n in node.all_input_nodes):
            arguments, named = fx.map_arg((node.args, node.kwargs), lambda n: constants[n])
            value = constants[node] = node.target(*arguments, **named)
            graph.register_buffer(f"folded_{node.name}", value.detach().clone())
            with graph.graph.inserting_before(node):
                node.replace_all_uses_with(replacement := graph.graph.get_attr(f"folded_{node.name}"))
            replacement.meta.update(node.meta)
            constants[replacement] = value
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _attribute(graph: fx.GraphModule, path: str) -> Any:
    owner, _, name = path.rpartition(".")
    return getattr(graph.get_submodule(owner), name)


def to_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def to_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def pad(x: Tensor, sides: list[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Constant padding, of channels or of rows and columns. x (n, c, h, w)"""
    if mode != "constant" or len(sides) > 6:
        return F.pad(x, sides, mode, value)
    left, right, top, bottom, first, last = [*sides, *[0] * (6 - len(sides))]
    return to_first(F.pad(to_last(x), [first, last, left, right, top, bottom], mode, value))


def enlarge_nearest(x: Tensor, output_size: Any, scale_factors: Any) -> Tensor:
    """Every pixel s times in its row, every row s times. x (n, c, h, w) -> (n, c, s*h, s*w)"""
    if scale_factors is None or scale_factors[0] != scale_factors[1] or scale_factors[0] != int(scale_factors[0]):
        return F.interpolate(x, output_size, scale_factors, mode="nearest")
    s = int(scale_factors[0])
    n, c, h, w = x.shape
    wide = torch.cat([to_last(x)] * s, 3).reshape(n, h, 1, w * s * c)
    return to_first(torch.cat([wide] * s, 2).reshape(n, h * s, w * s, c))


def multiply(a: Tensor, b: Any) -> Tensor:
    """With constants of fewer axes given all four: the layout pass knows no other."""
    if isinstance(b, Tensor) and b.ndim in (2, 3) and a.ndim == 4:
        b = b.reshape(*[1] * (4 - b.ndim), *b.shape)
    out: Tensor = a * b
    return out


LOWERINGS: dict[Any, Callable[..., Tensor]] = {
    aten.pad.default: pad,
    aten.constant_pad_nd.default: lambda x, sides, value=0.0: pad(x, sides, "constant", value),
    aten.upsample_nearest2d.vec: enlarge_nearest,
    aten.mul.Tensor: multiply,
}
