"""Pooling masks in integer arithmetic: where a maximum came from, without a comparison.

TFLite's comparisons have no kernel in XNNPACK, and give booleans that come back to integers by way of float. But of x == m it
is known that m, the maximum of x's window, is never smaller, and both have the same scale s: m - x is 0 or at
least s. So (s - (m - x)) / s, stored in a range of 0..1 that saturates, is the mask, and exact.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from edgeseg.export.graphs import DEQUANTISE, QUANTISE, QUANTISING
from edgeseg.models.layer_names import module_of

aten = torch.ops.aten

LEAST, GREATEST = -128, 127
STEPS = GREATEST - LEAST
CASTS = {aten.to.dtype, aten._to_copy.default, aten.to.dtype_layout}
# What an enlarged maximum passes through on its way from the pooling.
MOVING = {
    aten.permute.default,
    aten.cat.default,
    aten.view.default,
    aten.reshape.default,
    aten.upsample_nearest2d.vec,
    QUANTISE,
    DEQUANTISE,
}


def arithmetic_masks(graph: fx.GraphModule) -> fx.GraphModule:
    """Replace, in a converted graph, every cast comparison of a tensor with its own enlarged maxima. In place."""
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target is aten.eq.Tensor:
            x, maxima = node.args
            if not is_enlarged_maximum(maxima, x):
                x, maxima = maxima, x
            for check in [user for user in node.users if user.target is aten._assert_tensor_metadata.default]:
                graph.graph.erase_node(check)
            casts = [user for user in node.users if user.target in CASTS]
            scale, zero_point = _parameters(x)
            integers = scale is not None and (scale, zero_point) == _parameters(maxima)
            if integers and is_enlarged_maximum(maxima, x) and len(casts) == len(node.users):
                with graph.graph.inserting_before(node):
                    mask = _mask(graph, x, maxima, scale, _place(node))
                for cast in casts:
                    cast.replace_all_uses_with(mask)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def is_enlarged_maximum(maxima: Any, x: Any) -> bool:
    """Whether `maxima` is a max-pooling of `x`, only enlarged since."""
    if not (isinstance(maxima, fx.Node) and isinstance(x, fx.Node)):
        return False
    node = maxima
    while node.target in MOVING:
        if len(node.all_input_nodes) != 1:
            return False
        node = node.all_input_nodes[0]
    return node.target is aten.max_pool2d.default and _origin(node.args[0]) is _origin(x)


def _origin(node: Any) -> Any:
    """What a tensor was before it was quantised (perhaps more than once, by the same parameters)."""
    while isinstance(node, fx.Node) and node.target in QUANTISING:
        node = node.args[0]
    return node


def _parameters(node: Any) -> tuple[Any, Any]:
    """(scale, zero point) of a dequantised tensor; (None, None) of any other."""
    if isinstance(node, fx.Node) and node.target is DEQUANTISE:
        return node.args[1], node.args[2]
    return None, None


def _place(comparison: fx.Node) -> dict[str, Any]:
    """The metadata by which what stands for `comparison` is named as a layer: `mask.sub` where that stood."""
    path = module_of(comparison)[0]
    stack = dict(comparison.meta.get("nn_module_stack") or {})
    stack["mask"] = (f"{path}.mask" if path else "mask", "edgeseg.Mask")
    return {"val": comparison.meta["val"].float(), "nn_module_stack": stack}


def _mask(graph: fx.GraphModule, x: fx.Node, maxima: fx.Node, scale: float, place: dict[str, Any]) -> fx.Node:
    """Nodes, at the graph's insertion point, that compute 1 where `x` equals `maxima` and 0 elsewhere."""

    def computed(operator: Any, *operands: fx.Node) -> fx.Node:
        node = graph.graph.call_function(operator, operands)
        node.meta.update(place)
        return node

    def stored(value: fx.Node, step: float) -> fx.Node:
        """`value` as an integer number of steps, from 0 up to 255, and back."""
        parameters = (step, LEAST, LEAST, GREATEST, torch.int8)
        quantised = graph.graph.call_function(QUANTISE, (value, *parameters))
        return graph.graph.call_function(DEQUANTISE, (quantised, *parameters))

    def constant(value: float) -> fx.Node:
        name = f"mask_constant_{len(list(graph.buffers()))}"
        graph.register_buffer(name, torch.full((1, 1, 1, 1), value))
        return stored(graph.graph.get_attr(name), value / STEPS)

    distance = stored(computed(aten.sub.Tensor, maxima, x), scale)  # 0, or s and more
    near = stored(computed(aten.sub.Tensor, constant(scale), distance), scale / STEPS)  # s, or saturated at 0
    return stored(computed(aten.mul.Tensor, near, constant(1 / scale)), 1 / STEPS)  # 1 or 0
