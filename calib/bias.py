"""Bias correction: the mean error that rounding makes in each channel is taken out of its bias.

Nagel et al. 2019 (arXiv 1906.04721), section 4.2, with the means measured on pictures (their "empirical" version,
appendix D): rounding the weights of a layer moves the mean of its outputs, and the next layer takes that for a signal. From
the first layer to the last, E[rounded output] - E[float output] is subtracted from the bias, the errors before it
being corrected already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from edgeseg.calib.simulate import rounded

aten = torch.ops.aten

# Weighted sums, and the axis of their outputs that a bias belongs to.
WEIGHTED: dict[Any, int] = {
    aten.conv2d.default: 1,
    aten.conv2d.padding: 1,
    aten.conv_transpose2d.input: 1,
    aten.linear.default: -1,
}


@torch.no_grad()
def correct_biases(
    prepared: fx.GraphModule, images: Sequence[Tensor], progress: Callable[[float], None] = lambda share: None
) -> int:
    """Change the biases of `prepared`, whose ranges are chosen, in place; gives the number of layers changed.

    images  each (1, 3, h, w); all of them are in memory at every layer, so a dozen or two

    Both versions of the network go through the graph side by side, one operator at a time.
    """
    nodes = list(prepared.graph.nodes)
    last = {source: i for i, node in enumerate(nodes) for source in node.all_input_nodes}
    owners = [n.target for n in nodes if n.op == "get_attr"]
    exact: dict[fx.Node, list[Any]] = {}
    coarse: dict[fx.Node, list[Any]] = {}
    corrections: dict[str, Tensor] = {}
    with rounded(prepared):
        for i, node in enumerate(nodes):
            if node.op == "output":
                break
            for values, is_exact in ((exact, True), (coarse, False)):
                values[node] = [_value(prepared, node, values, images, k, is_exact) for k in range(len(images))]
            bias = node.args[2] if node.target in WEIGHTED and len(node.args) > 2 else None
            if isinstance(bias, fx.Node) and bias.op == "get_attr" and owners.count(bias.target) == 1:
                axis = WEIGHTED[node.target]
                error = mean_error(exact[node], coarse[node], axis)
                shape = [1] * exact[node][0].dim()
                shape[axis] = -1
                coarse[node] = [value - error.reshape(shape) for value in coarse[node]]
                corrections[str(bias.target)] = error
            for source in node.all_input_nodes:
                if last[source] == i:
                    del exact[source], coarse[source]
            progress((i + 1) / len(nodes))
    for name, error in corrections.items():
        bias_parameter = prepared.get_parameter(name)
        bias_parameter.data = bias_parameter.detach() - error
    return len(corrections)


def mean_error(exact: Sequence[Tensor], coarse: Sequence[Tensor], axis: int) -> Tensor:
    """E[coarse] - E[exact] per channel of `axis`, over all else and all pictures."""
    errors = [(b - a).movedim(axis, 0).flatten(1).mean(1) for a, b in zip(exact, coarse, strict=True)]
    return torch.stack(errors).mean(0)


def _value(
    prepared: fx.GraphModule,
    node: fx.Node,
    values: dict[fx.Node, list[Any]],
    images: Sequence[Tensor],
    k: int,
    exact: bool,
) -> Any:
    """What `node` computes for picture k; observers pass their input in float and round it otherwise."""
    if node.op == "placeholder":
        return images[k]
    if node.op == "get_attr":
        value: Any = prepared
        for part in str(node.target).split("."):
            value = getattr(value, part)
        return value
    args, keywords = fx.node.map_arg((node.args, node.kwargs), lambda n: values[n][k])
    if node.op == "call_function":
        return node.target(*args, **keywords)  # type: ignore[operator]
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **keywords)
    if len(args) != 1 or exact or len(node.users) == 0:
        return args[0] if args else None
    return prepared.get_submodule(str(node.target))(*args)
