"""Names for the layers of a graph that `torch.export` has made: where each operator stands in the network.

    backbone.stages.0.0.block.1.0   a layer of torch's, by its path in the network; the activation behind it is part of it
    backbone.stages.1.1.add         an operator in the code of a module of ours: the module's path and the operator
    down1.mul:2                     the second of its kind there

The names are the same before and after quantisation, since neither quantising nor observing operators are layers.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable

from torch import Tensor, fx

from edgeseg.errors import UsageError

# Activations that clip what a sum gives are no layers of their own: in integers they cost and lose nothing.
SUMS = {"conv2d", "linear", "conv_transpose2d", "add", "add_", "sub", "mul", "mul_"}
CLIPS = {"relu", "relu_", "relu6", "hardtanh", "hardtanh_"}
NO_LAYERS = {"quantize_per_tensor", "dequantize_per_tensor", "quantize_per_channel", "dequantize_per_channel"}
NEAR = 3  # matches that an error suggests


def layer_names(graph: fx.Graph) -> dict[fx.Node, str]:
    """Node -> layer, in order, for every operator that computes a float tensor from the image."""
    names: dict[fx.Node, str] = {}
    seen: dict[str, int] = {}
    computed: set[fx.Node] = set()  # what depends on the image: constants are nobody's layer
    for node in graph.nodes:
        if node.op == "placeholder" or any(source in computed for source in node.all_input_nodes):
            computed.add(node)
        if node.op != "call_function" or node not in computed or operator(node) in NO_LAYERS or not _gives_float(node):
            continue
        source = node.all_input_nodes[0]
        if operator(node) in CLIPS and source in names and operator(source) in SUMS and len(readers(source)) == 1:
            names[node] = names[source]
            continue
        name = _place(node)
        seen[name] = seen.get(name, 0) + 1
        names[node] = name if seen[name] == 1 else f"{name}:{seen[name]}"
    return names


def operator(node: fx.Node) -> str:
    """`conv2d` of aten.conv2d.default."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


def readers(node: fx.Node) -> list[fx.Node]:
    """Who uses the value; checks that the exporter adds use it for nothing."""
    return [user for user in node.users if "assert" not in str(user.target)]


def find_layers(patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """The layers that match any of `patterns` (names, or globs as in `decoder.*`), in the network's order.

    Raises UsageError, with the nearest names, for a pattern that matches none.
    """
    known = list(dict.fromkeys(names))
    found: set[str] = set()
    for pattern in patterns:
        hits = {name for name in known if name == pattern or fnmatch.fnmatchcase(name, pattern)}
        if not hits:
            near = difflib.get_close_matches(pattern, known, NEAR, cutoff=0.3) or known[:NEAR]
            raise UsageError(f"no layer is named {pattern!r}; near it: {', '.join(near)} (--sensitivity DIR lists all)")
        found |= hits
    return [name for name in known if name in found]


def _gives_float(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()


def module_of(node: fx.Node) -> tuple[str, str]:
    """(path, class) of the innermost module whose code an operator comes from; the path of the network itself is empty."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    return str(path).split("@")[0], kind


def _place(node: fx.Node) -> str:
    path, kind = module_of(node)
    if path and kind.startswith("torch.nn.modules."):
        return path
    return f"{path}.{operator(node).rstrip('_')}" if path else operator(node).rstrip("_")
