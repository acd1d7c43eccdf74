"""From a graph in torch's layout to one in LiteRT's: the same operators, ranges and values, channels in the last axis.

litert-torch turns a channels-first graph into channels-last operator by operator. Paddings and broadcast
constants it leaves channels-first, between two transposes each; a pixel shuffle becomes two more; and TFLite's
nearest-neighbour enlargement has no kernel in XNNPACK, which splits the graph. Here each of them is written in operators
that stay channels-last. In that memory an enlargement is a concatenation and a change of shape, nothing more.

A lowering of several operators stores what each of them gives as the tensor it began with is stored: a value that LiteRT
finds without a range would stay in float.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx import traceback

from edgeseg.export import tflite_file
from edgeseg.export.graphs import DEQUANTISE, QUANTISE, QUANTISING, attribute, copied, drop_guards, fold_constants, select
from edgeseg.models.layer_names import layer_names, module_of

aten = torch.ops.aten

Store = Callable[[Tensor], Tensor]
ACTIVATIONS = {aten.relu.default, aten.relu_.default, aten.relu6.default, aten.hardtanh.default, aten.hardtanh_.default}
CONVOLUTIONS = {aten.conv2d.default, aten.conv2d.padding}
BROADCASTING = {aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor}


def channels_last(network: nn.Module, size: tuple[int, int]) -> nn.Module:
    """`network` on (n, h, w, c), giving (n, h', w', c'), in operators that stay channels-last. `network` is left alone.

    network  on (n, 3, h, w): any module, or a graph that `edgeseg.compress.quantize.convert` gave, whose ranges stay
    """
    if isinstance(network, fx.GraphModule):
        graph = copied(network)
    else:
        graph = torch.export.export(network, (torch.zeros(1, 3, *size),), strict=False).module()
    assert isinstance(graph, fx.GraphModule)
    drop_guards(graph)
    fold_constants(graph)
    note_layers(graph)
    widen_constants(graph)
    split_shuffles(graph)
    graph.recompile()
    return Lowered(graph)


class Lowered(nn.Module):
    """A graph with its ends in NHWC and the operators of LOWERINGS in place of torch's."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.training = False  # in place of eval(), which an exported graph refuses
        self.body = graph  # `graph` is a name that torch.export has taken

    def forward(self, image: Tensor) -> Tensor:
        with traceback.preserve_node_meta():  # a trace of this keeps the layers that name the file's tensors
            logits: Tensor = _Interpreter(self.body).run(image)
        return logits


class _Interpreter(fx.Interpreter):
    def run_node(self, n: fx.Node) -> Any:
        if n.op == "placeholder":
            store = store_as(next(iter(n.users)))
            image: Tensor = super().run_node(n)
            return to_first(store(image))
        if n.op == "output":
            [logits] = n.all_input_nodes
            store = store_as(logits)
            return store(to_last(self.fetch_args_kwargs_from_env(n)[0][0][0]))
        if n.target in LOWERINGS:
            args, kwargs = self.fetch_args_kwargs_from_env(n)
            with traceback.set_current_meta(n):  # as `super().run_node` does
                return LOWERINGS[n.target](store_as(n.all_input_nodes[0]), *args, **kwargs)
        return super().run_node(n)


def store_as(node: fx.Node) -> Store:
    """What stores a tensor as `node` (a quantise or dequantise) says, and reads it again. Any other node stores nothing."""
    if node.target not in QUANTISING:
        return lambda x: x
    parameters = node.args[1:]
    return lambda x: DEQUANTISE(QUANTISE(x, *parameters), *parameters)


def note_layers(graph: fx.GraphModule) -> None:
    """Write every operator's layer where litert-torch looks for what to call a tensor; quantising is of what it quantises."""
    names = layer_names(graph.graph)
    for node in graph.graph.nodes:
        if node.target in QUANTISING and node.args[0] in names:
            names[node] = names[node.args[0]]
        if node in names:
            node.meta["module"] = module_of(node)[0]  # for `blame`
            node.meta["nn_module_stack"] = {"": ("", "edgeseg"), "layer": tflite_file.layer_scope(names[node])}


def widen_constants(graph: fx.GraphModule) -> None:
    """Give constants of two or three axes, which are broadcast, all four: litert-torch's layout pass knows no other."""
    for node in graph.graph.nodes:
        for constant in node.all_input_nodes if node.target in BROADCASTING else ():
            while constant.target in QUANTISING:
                constant = constant.args[0]
            value = attribute(graph, str(constant.target)) if constant.op == "get_attr" else None
            if isinstance(value, Tensor) and value.ndim in (2, 3):
                graph.register_buffer(name := f"wide_{constant.name}", value.reshape(*[1] * (4 - value.ndim), *value.shape))
                constant.target = name


def split_shuffles(graph: fx.GraphModule) -> None:
    """Each convolution with a pixel shuffle behind it becomes one convolution for every row that a row becomes.

    The s pixels of each place then lie one after the other in a row's channels: (n, h, w, s * c) is (n, h, s * w, c) in
    memory already, and the rows need only be interleaved. A shuffle behind anything else stays.
    """
    for node in list(graph.graph.nodes):
        chain = _convolution_before(node) if node.target is aten.pixel_shuffle.default else []
        if not chain:
            continue
        stride = node.args[1]
        order = torch.arange(_channels(graph, chain[0])).reshape(-1, stride, stride)  # (c, row, column)
        with graph.graph.inserting_before(node):
            rows = [_selected(graph, chain, order[:, row].T.flatten()) for row in range(stride)]
            interleaved = graph.graph.call_function(interleave, (rows, stride))
        interleaved.meta.update(node.meta)
        node.replace_all_uses_with(interleaved)
    graph.graph.eliminate_dead_code()


def _convolution_before(shuffle: fx.Node) -> list[fx.Node]:
    """The convolution whose channels `shuffle` moves, and all that lies between; nothing where there is no such."""
    chain: list[fx.Node] = []
    node: Any = shuffle.args[0]
    while isinstance(node, fx.Node) and (node.target in QUANTISING or node.target in ACTIVATIONS):
        chain.append(node)
        node = node.args[0]
    is_plain = isinstance(node, fx.Node) and node.target in CONVOLUTIONS and (len(node.args) < 7 or node.args[6] == 1)
    return [node, *reversed(chain)] if is_plain else []


def _channels(graph: fx.GraphModule, convolution: fx.Node) -> int:
    weight: Any = convolution.args[1]
    while weight.op != "get_attr":
        weight = weight.args[0]
    return int(attribute(graph, weight.target).shape[0])


def _selected(graph: fx.GraphModule, chain: Sequence[fx.Node], order: Tensor) -> fx.Node:
    """A copy of `chain` whose convolution gives the channels `order` alone, in that order."""
    weighted = {constant: select(graph, constant, order) for constant in chain[0].all_input_nodes[1:]}
    new = graph.graph.node_copy(chain[0], lambda n: weighted.get(n, n))
    for before, node in itertools.pairwise(chain):
        copies = {before: new}
        new = graph.graph.node_copy(node, copies.__getitem__)
    return new


def to_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def to_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def interleave(store: Store, rows: list[Tensor], stride: int) -> Tensor:
    """`stride` tensors (n, stride * c, h, w), each with `stride` pixels in its channels -> (n, c, stride * h, stride * w)"""
    n, channels, h, w = rows[0].shape
    flat = [store(store(to_last(row)).reshape(n, h, 1, w * channels)) for row in rows]
    whole = store(torch.cat(flat, 2)).reshape(n, h * stride, w * stride, channels // stride)
    return to_first(store(whole))


def pad(store: Store, x: Tensor, sides: list[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Constant padding, of channels or of rows and columns. x (n, c, h, w)"""
    if mode != "constant" or len(sides) > 6:
        return F.pad(x, sides, mode, value)
    left, right, top, bottom, first, last = [*sides, *[0] * (6 - len(sides))]
    return to_first(store(F.pad(store(to_last(x)), [first, last, left, right, top, bottom], mode, value)))


def enlarge_nearest(store: Store, x: Tensor, output_size: Any, scale_factors: Any) -> Tensor:
    """Every pixel s times in its row, every row s times. x (n, c, h, w) -> (n, c, s*h, s*w)"""
    if scale_factors is None or scale_factors[0] != scale_factors[1] or scale_factors[0] != int(scale_factors[0]):
        return F.interpolate(x, output_size, scale_factors, mode="nearest")
    s = int(scale_factors[0])
    n, c, h, w = x.shape
    wide = store(store(torch.cat([store(to_last(x))] * s, 3)).reshape(n, h, 1, w * s * c))
    return to_first(store(store(torch.cat([wide] * s, 2)).reshape(n, h * s, w * s, c)))


LOWERINGS: dict[Any, Callable[..., Tensor]] = {
    interleave: interleave,
    aten.pad.default: pad,
    aten.constant_pad_nd.default: lambda store, x, sides, value=0.0: pad(store, x, sides, "constant", value),
    aten.upsample_nearest2d.vec: enlarge_nearest,
}
