"""The int8 policy of edgeseg, for PT2E quantisation: one set of ranges, which both file formats carry.

Weights are symmetric per output channel, activations asymmetric per tensor. A tensor has one range, however many
readers it has. What decides speed is where ranges are *not*: between a convolution (or addition) and its ReLU there is
none, for integer kernels clip for nothing; and operators that only move or select values keep the range they get, for their
integer kernels cannot rescale (a concatenation in TFLite among them, so all that it joins shares one range).

Quantising makes a graph ready for calibration (`prepare`), and with the ranges fixed it becomes a graph of quantise and
dequantise operators (`convert`), which `edgeseg.export` lowers to either format. Pieces that no row of the tables below
names stay in float.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torchao.quantization.pt2e.observer import PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

from edgeseg.errors import UsageError
from edgeseg.models.layer_names import find_layers, layer_names

aten = torch.ops.aten

# The image is frame / 255, so these make every byte of a frame exact: stored = byte - 128.
INPUT_SCALE, INPUT_ZERO_POINT = 1 / 255, -128
LOWEST, HIGHEST = -128, 127

ANNOTATION = "quantization_annotation"

# Weighted sums: activation, weight (per channel along the axis given), bias.
WEIGHTED: dict[Any, int] = {
    aten.conv2d.default: 0,
    aten.conv2d.padding: 0,
    aten.linear.default: 0,
    aten.conv_transpose2d.input: 1,
}
# Integer kernels that rescale from the ranges of their inputs to one of their own.
ARITHMETIC = {
    aten.add.Tensor,
    aten.add_.Tensor,
    aten.sub.Tensor,
    aten.mul.Tensor,
    aten.mul_.Tensor,
    aten.adaptive_avg_pool2d.default,
    aten.mean.dim,
}
# What a weighted sum or an addition takes up when it is its only reader.
ACTIVATIONS = {
    aten.relu.default,
    aten.relu_.default,
    aten.relu6.default,
    aten.hardtanh.default,
    aten.hardtanh_.default,
}
# Values move, or one of them is chosen, or neighbours are averaged: the range stays.
PASSING = {
    aten.cat.default,
    aten.max_pool2d.default,
    aten.upsample_nearest2d.vec,
    aten.upsample_bilinear2d.vec,
    aten.pad.default,
    aten.constant_pad_nd.default,
    aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default,
    aten.permute.default,
    aten.slice.Tensor,
    aten.view.default,
    aten.reshape.default,
    aten.flatten.using_ints,
    aten.dropout.default,
}


def prepare(
    network: nn.Module,
    size: tuple[int, int],
    observer: Callable[..., Any],
    keep_float: Collection[str] = (),
    *,
    symmetric: bool = False,
    batches: bool = False,
) -> fx.GraphModule:
    """The graph of `network` with an observer at every range, to be run on calibration images.

    network     in evaluation mode, batch norms folded (`edgeseg.export.rewrites`); takes (1, 3, h, w)
    size        (height, width) of the image
    observer    a class of `edgeseg.calib.observers` or of torchao, for the activations
    keep_float  layers whose results stay in float: names of `edgeseg.models.layer_names`, or globs. Who calculates with such
                a result does so in float as well, and rounds what it gives
    symmetric   zero points are all zero, as TensorRT wants them
    batches     the graph is to take any number of images, not one; its nodes have the same names

    Raises UsageError where `keep_float` names no layer, or the last.
    """
    example = torch.zeros(2 if batches else 1, 3, *size)  # a batch of one would be taken for a constant
    shapes = ({0: torch.export.Dim("n")},) if batches else None
    graph = torch.export.export(network, (example,), dynamic_shapes=shapes, strict=False).module()
    return cast(fx.GraphModule, prepare_pt2e(graph, EdgeQuantizer(observer, keep_float, symmetric=symmetric)))


def convert(prepared: fx.GraphModule) -> fx.GraphModule:
    """Replace the observers by quantise and dequantise operators. Weights stay float: the exporters store them int8."""
    return cast(fx.GraphModule, convert_pt2e(prepared, fold_quantize=False))


def ends(graph: fx.GraphModule) -> tuple[tuple[float, int], tuple[float, int]]:
    """(scale, zero point) of the image and of the logits of a converted graph, as int8."""
    last = next(n for n in reversed(graph.graph.nodes) if "dequantize_per_tensor" in str(n.target))
    return (INPUT_SCALE, INPUT_ZERO_POINT), (last.args[1], last.args[2])


class EdgeQuantizer(Quantizer):  # type: ignore[misc]
    """Says which tensors of a graph are int8 and which of them share a range."""

    def __init__(self, observer: Callable[..., Any], keep_float: Collection[str] = (), *, symmetric: bool = False) -> None:
        super().__init__()
        self.keep_float = tuple(keep_float)
        scheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
        self.activation = QuantizationSpec(
            dtype=torch.int8,
            quant_min=-128,
            quant_max=127,
            qscheme=scheme,
            observer_or_fake_quant_ctr=observer,
        )
        self.image = FixedQParamsQuantizationSpec(
            dtype=torch.int8,
            scale=1 / 127 if symmetric else INPUT_SCALE,
            zero_point=0 if symmetric else INPUT_ZERO_POINT,
            quant_min=-128,
            quant_max=127,
            qscheme=scheme,
        )

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        ranges = Ranges(model.graph, self.keep_float)
        for node in model.graph.nodes:
            if node.op == "placeholder" and node in ranges:
                node.meta[ANNOTATION] = QuantizationAnnotation(output_qspec=self.image, _annotated=True)
            elif node in ranges or ranges.takes_up(node):
                node.meta[ANNOTATION] = self._annotation(node, ranges)
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing to check: what no table names stays in float."""

    def _annotation(self, node: fx.Node, ranges: Ranges) -> QuantizationAnnotation:
        inputs: dict[fx.Node, Any] = {}
        for producer in activations_of(node) if not ranges.is_raw(node) else ():
            if ranges.takes_up(producer):
                continue  # the convolution whose ReLU this is: no range between the two
            if producer in ranges:
                inputs[producer] = SharedQuantizationSpec(ranges.first(node if ranges.must_join(node, producer) else producer))
            else:
                inputs[producer] = self.activation  # out of a float piece
        if ranges.is_raw(node):
            pass  # it works on float tensors
        elif node.target in WEIGHTED:
            inputs[cast(fx.Node, node.args[1])] = _weight(WEIGHTED[node.target])
        elif node.target in ARITHMETIC:
            inputs |= dict.fromkeys((n for n in node.all_input_nodes if n.op == "get_attr" and is_float(n)), self.activation)
        output: Any = None
        if node in ranges:
            first = ranges.first(node)
            output = self.activation if first is node else SharedQuantizationSpec(first)
        return QuantizationAnnotation(
            input_qspec_map=inputs, output_qspec=output, allow_implicit_sharing=False, _annotated=True
        )


class Ranges:
    """Which nodes of a graph have int8 values (`node in ranges`), and which nodes share one range."""

    def __init__(self, graph: fx.Graph, keep_float: Collection[str] = ()) -> None:
        names = layer_names(graph) if keep_float else {}
        kept = set(find_layers(keep_float, names.values()))
        last = names.get(next(iter(next(iter(reversed(graph.nodes))).all_input_nodes)), "")
        if (
            last in kept
        ):  # ONNX Runtime would make integers of float weights between two ranges, with one scale for all channels
            raise UsageError(f"{last} gives the logits, which int8 files hold as integers; keep layers before it in float")
        self._place_all(graph, {node for node, name in names.items() if name in kept})
        while joined := {names[node] for node in self._joined_with_float()} - kept:
            kept |= joined
            self._place_all(graph, {node for node, name in names.items() if name in kept})

    def __contains__(self, node: fx.Node) -> bool:
        return node in self._first

    def first(self, node: fx.Node) -> fx.Node:
        """The earliest node with this one's range."""
        while self._first[node] is not node:
            node = self._first[node]
        return node

    def takes_up(self, node: fx.Node) -> bool:
        """Whether `node` is int8 but leaves its range to the activation behind it."""
        return node in self._taken

    def is_raw(self, node: fx.Node) -> bool:
        """Whether `node` calculates in float and only its result is rounded."""
        return node in self._raw

    def must_join(self, node: fx.Node, producer: fx.Node) -> bool:
        """Whether `producer` has another range than the concatenation that reads it, and is brought to it first."""
        return node.target is aten.cat.default and self.first(node) is not self.first(producer)

    def _place_all(self, graph: fx.Graph, wish: set[fx.Node]) -> None:
        self._first: dict[fx.Node, fx.Node] = {}
        self._taken: set[fx.Node] = set()  # weighted sums and additions whose activation holds their range
        self._wish = wish  # what must stay in float
        self._kept: set[fx.Node] = set()  # that, and what only moves such values
        self._raw: set[fx.Node] = set()  # they calculate in float, with float weights; their result is int8
        for node in graph.nodes:
            self._place(node)

    def _joined_with_float(self) -> set[fx.Node]:
        """Whose rounded results a concatenation in float joins with others: they must stay in float, too.

        LiteRT's converter takes a range on the way into a concatenation for that of its result, and of all else that goes in.
        """
        found = set()
        todo = [node for node in self._kept if node.target is aten.cat.default]
        for node in todo:
            for producer in activations_of(node):
                if producer in self._first and producer.target in PASSING:
                    todo.append(producer)
                elif producer in self._first and producer.op != "placeholder":
                    found |= {producer, *(p for p in activations_of(producer) if p in self._taken)}
        return found

    def _place(self, node: fx.Node) -> None:
        if node.op == "placeholder" and is_float(node):
            self._first[node] = node
        elif node.op != "call_function" or not is_float(node) or self._place_in_float(node):
            return
        elif node.target in WEIGHTED or node.target in ARITHMETIC:
            if activations_of(node) and self._readers_activation(node):
                self._taken.add(node)
            elif activations_of(node):
                self._first[node] = node
        elif node.target in ACTIVATIONS:
            producer = activations_of(node)[0]
            if producer in self._taken or producer in self._first:
                self._first[node] = node
        elif node.target in PASSING:
            joined = [p for p in activations_of(node) if p in self._first]
            if len(joined) < len(activations_of(node)) or not joined:
                return  # it only moves float values: stay there
            self._first[node] = node
            free = [p for p in joined if self.first(p).op != "placeholder"]  # the image's range is not to be widened
            for producer in free if len(joined) > 1 else joined:
                self._join(producer, node)

    def _place_in_float(self, node: fx.Node) -> bool:
        """Settle a node that stays in float, or that reads one that does. What the graph gives is rounded in any case."""
        producers = activations_of(node)
        fed = any(p in self._kept or (p in self._raw and p in self._taken) for p in producers)
        known = node.target in WEIGHTED or node.target in ARITHMETIC | ACTIVATIONS | PASSING
        if node not in self._wish and not (fed and known):
            return False
        last = any(user.op == "output" for user in node.users)
        if not last and (node in self._wish or node.target in PASSING):
            self._kept.add(node)
            return True
        self._raw.add(node)
        if node.target not in ACTIVATIONS and self._readers_activation(node):
            self._taken.add(node)
        else:
            self._first[node] = node
        return True

    def _readers_activation(self, node: fx.Node) -> bool:
        readers = list(node.users)
        return len(readers) == 1 and readers[0].target in ACTIVATIONS

    def _join(self, a: fx.Node, b: fx.Node) -> None:
        a, b = self.first(a), self.first(b)
        if a is not b:
            earlier, later = (a, b) if a < b else (b, a)
            self._first[later] = earlier


def activations_of(node: fx.Node) -> list[fx.Node]:
    """The float inputs of `node` that are computed, in order: no weights, biases or constants."""
    arguments = node.args[:1] if node.target in WEIGHTED else node.args
    flat = [a for arg in arguments for a in (arg if isinstance(arg, list | tuple) else [arg])]
    return [a for a in flat if isinstance(a, fx.Node) and a.op != "get_attr" and is_float(a)]


def is_float(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()


def _weight(axis: int) -> QuantizationSpec:
    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-127,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
        ch_axis=axis,
        observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=2**-24),
    )
