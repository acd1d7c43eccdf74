"""Which operator stopped a converter, and where in the network it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import fx, nn
from torch._dynamo.exc import TorchDynamoException
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from edgeseg.errors import ExportError
from edgeseg.models.layer_names import module_of, operator

OPERATOR = re.compile(r"\b(?:aten|prims|prim)(?:\.|::)_?(\w+)")
SHOWN = 3  # places


def blame(error: BaseException, network: nn.Module, size: tuple[int, int]) -> str:
    """`operator special_bessel_j0 in layer head.act`, or what the deepest error says where none names an operator.

    network  what was converted: a module on (1, 3, h, w), or a graph, or a module around one (`body`)
    """
    text, deepest = str(error), error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
        text = f"{text}\n{deepest}"
    named = list(dict.fromkeys(OPERATOR.findall(text)))
    for node_name, places in _operators(network, size).items() if named else ():
        if any(node_name.endswith(name) or name.endswith(node_name) for name in named):
            return f"operator {node_name} in layer {', '.join(places[:SHOWN])}"
    reason = first_line(deepest)
    return f"operator {named[0]} ({reason[:120]})" if named else reason[:200]


@contextmanager
def traceable() -> Iterator[None]:
    """ExportError in place of what `torch.export` raises for a network whose code cannot be traced."""
    try:
        yield
    except (GuardOnDataDependentSymNode, TorchDynamoException) as error:
        raise ExportError(
            f"torch.export cannot trace this network: {first_line(error)[:160]}; let its code not depend on a tensor's values"
        ) from error


def first_line(error: BaseException) -> str:
    """Of its message, or its type where it has none."""
    lines = str(error).replace("\\n", "\n").splitlines()  # a KeyError's message is quoted
    return next((line.strip() for line in lines if line.strip()), type(error).__name__)


def _operators(network: nn.Module, size: tuple[int, int]) -> dict[str, list[str]]:
    """Operator -> the layers it occurs in."""
    graph = network if isinstance(network, fx.GraphModule) else getattr(network, "body", None)
    if not isinstance(graph, fx.GraphModule):
        graph = torch.export.export(network, (torch.zeros(1, 3, *size),), strict=False).module()
    found: dict[str, list[str]] = {}
    for node in graph.graph.nodes:
        if node.op == "call_function":
            places = found.setdefault(operator(node).strip("_"), [])
            if (place := node.meta.get("module", module_of(node)[0]) or "the network's own code") not in places:
                places.append(place)
    return found
