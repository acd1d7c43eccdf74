"""What passes over graphs of `torch.export` have in common: constants, and the operators that quantise."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # registers the operators that PT2E writes
from torch import Tensor, fx

decomposed = torch.ops.quantized_decomposed

QUANTISE, DEQUANTISE = decomposed.quantize_per_tensor.default, decomposed.dequantize_per_tensor.default
QUANTISING = {QUANTISE, DEQUANTISE}
QUANTISING_CHANNELS = {decomposed.quantize_per_channel.default, decomposed.dequantize_per_channel.default}


def attribute(graph: fx.GraphModule, path: str) -> Any:
    """The parameter, buffer or module that a `get_attr` node names."""
    owner, _, name = path.rpartition(".")
    return getattr(graph.get_submodule(owner), name)


def copied(graph: fx.GraphModule) -> fx.GraphModule:
    """`graph` again, for a pass to change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # copying its own metadata, torch warns of itself
        return copy.deepcopy(graph)


def drop_guards(graph: fx.GraphModule) -> None:
    """Take out the check of input shapes that `torch.export` adds, which would speak of another layout."""
    for node in list(graph.graph.nodes):
        if node.op == "call_module" and node.target == "_guards_fn":
            graph.graph.erase_node(node)


def fold_constants(graph: fx.GraphModule) -> None:
    """Compute once what depends on constants alone, such as the tiled weights of a pooling mask; what quantises stays."""
    constants: dict[fx.Node, Any] = {}
    for node in list(graph.graph.nodes):
        if node.op == "get_attr":
            constants[node] = attribute(graph, str(node.target))
        elif node.op == "call_function" and node.target not in QUANTISING | QUANTISING_CHANNELS:
            if not node.all_input_nodes or not all(n in constants for n in node.all_input_nodes):
                continue
            arguments, named = fx.map_arg((node.args, node.kwargs), lambda n: constants[n])
            value = node.target(*arguments, **named)
            graph.register_buffer(f"folded_{node.name}", value.detach().clone())
            with graph.graph.inserting_before(node):
                node.replace_all_uses_with(replacement := graph.graph.get_attr(f"folded_{node.name}"))
            replacement.meta.update(node.meta)
            constants[replacement] = value
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def select(graph: fx.GraphModule, constant: fx.Node, order: Tensor) -> fx.Node:
    """Nodes, at the graph's insertion point, for the entries `order` of the first axis of a constant, quantised or not."""
    if constant.op == "get_attr":
        value = attribute(graph, str(constant.target))
        name = f"selected_{len(list(graph.buffers()))}"
        graph.register_buffer(name, value.detach()[order].clone())
        return graph.graph.get_attr(name)
    copies = {source: select(graph, source, order) for source in constant.all_input_nodes}
    return graph.graph.node_copy(constant, lambda n: copies[n])
