"""From a PT2E graph as `torch.onnx.export` writes it to a quantised ONNX graph that runtimes execute in integers.

What the exporter leaves stands in the way of every fusion: ReLU and Clip nodes between a convolution and its range, biases
in float, zero points behind casts, signed activations (x86 has fast kernels for unsigned times signed only). Each pass
below removes one of these; none changes a value. Do not run a simplifier afterwards: it would fold the weights back to
float.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgeseg.errors import ExportError

Array = npt.NDArray[Any]
QUANTISE, DEQUANTISE = "QuantizeLinear", "DequantizeLinear"
SIGNED_TO_UNSIGNED = 128
WEIGHTED = {"Conv", "Gemm", "ConvTranspose"}


class Graph:
    """An ONNX graph with its constants as arrays, and who makes and reads each value."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.constants: dict[str, Array] = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.nodes: list[NodeProto] = list(model.graph.node)
        self.output = model.graph.output[0].name
        self._index()

    def _index(self) -> None:
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def drop(self, gone: list[NodeProto]) -> None:
        """Take nodes out; whoever read the output of one reads its first input."""
        ids = {id(node) for node in gone}
        source = {node.output[0]: node.input[0] for node in gone}
        self.nodes = [node for node in self.nodes if id(node) not in ids]
        for node in self.nodes:
            for i, name in enumerate(node.input):
                while name in source:
                    name = source[name]
                node.input[i] = name
        self._index()

    def constant(self, name: str, value: Array) -> str:
        self.constants[name] = value
        return name

    def finish(self) -> onnx.ModelProto:
        """The model with what is still read: dead nodes and constants are left behind."""
        needed = {self.output}
        kept: list[NodeProto] = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        graph = self.model.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(reversed(kept))
        graph.initializer.extend(
            numpy_helper.from_array(np.ascontiguousarray(self.constants[name]).reshape(self.constants[name].shape), name)
            for name in sorted(needed)
            if name in self.constants
        )
        return self.model


def quantised(model: onnx.ModelProto) -> onnx.ModelProto:
    """Apply every pass. The image is then uint8 (n, 3, h, w), the logits uint8."""
    graph = Graph(model)
    for apply in (fold_constants, drop_integer_clips, drop_implied_activations, unsign, quantise_biases, integer_ends):
        apply(graph)
    return graph.finish()


def fold_constants(graph: Graph) -> None:
    """Compute what depends on constants only, except what dequantises: weights are to stay integers."""
    kept = []
    for node in graph.nodes:
        if node.op_type == DEQUANTISE or not all(name in graph.constants for name in node.input if name):
            kept.append(node)
            continue
        inputs = {name: graph.constants[name] for name in node.input if name}
        values = [helper.make_value_info(name, onnx.TypeProto()) for name in inputs]
        body = helper.make_graph([node], "constant", values, [helper.make_value_info(n, onnx.TypeProto()) for n in node.output])
        model = helper.make_model(body, opset_imports=graph.model.opset_import)
        for name, value in zip(node.output, ReferenceEvaluator(model).run(None, inputs), strict=True):
            graph.constants[name] = np.asarray(value)
    graph.nodes = kept
    graph._index()


def drop_integer_clips(graph: Graph) -> None:
    """The exporter clips the output of every QuantizeLinear to the range of its own type."""
    gone = []
    for node in graph.nodes:
        maker = graph.maker.get(node.input[0]) if node.op_type == "Clip" else None
        if maker is not None and maker.op_type == QUANTISE and _bounds(graph, node) == (-128, 127):
            gone.append(node)
    graph.drop(gone)


def drop_implied_activations(graph: Graph) -> None:
    """ReLU and Clip that the range behind them does as well: quantising saturates at both ends."""
    gone = []
    for node in graph.nodes:
        if node.op_type not in ("Relu", "Clip"):
            continue
        low, high = (0.0, np.inf) if node.op_type == "Relu" else _bounds(graph, node)
        readers = graph.readers.get(node.output[0], [])
        if readers and all(reader.op_type == QUANTISE and _implies(graph, reader, low, high) for reader in readers):
            gone.append(node)
    graph.drop(gone)


def _implies(graph: Graph, quantise: NodeProto, low: float, high: float) -> bool:
    scale, zero_point = (graph.constants[name].item() for name in quantise.input[1:3])
    least, greatest = (-128 - zero_point) * scale, (127 - zero_point) * scale
    return bool(least >= low and greatest <= high + scale / 2)  # half a step above `high` rounds to what `high` does


def _bounds(graph: Graph, clip: NodeProto) -> tuple[float, float]:
    ends = [graph.constants[n].item() if n in graph.constants else default for n, default in zip(clip.input[1:], (-np.inf, np.inf))]
    return ends[0], ends[1]


def unsign(graph: Graph) -> None:
    """Activations from int8 to uint8: every zero point moves by 128, no value changes. Weights stay int8."""
    for node in graph.nodes:
        if node.op_type not in (QUANTISE, DEQUANTISE) or node.input[0] in graph.constants:
            continue
        zero_point = graph.constants[node.input[2]]
        if zero_point.dtype == np.int8:
            moved = (zero_point.astype(np.int32) + SIGNED_TO_UNSIGNED).astype(np.uint8)
            node.input[2] = graph.constant(f"{node.input[2]}.uint8", moved)


def quantise_biases(graph: Graph) -> None:
    """Biases as int32 in steps of (input scale x weight scale), which is what integer convolutions add."""
    out: list[NodeProto] = []
    for node in graph.nodes:
        if node.op_type in WEIGHTED and len(node.input) == 3 and node.input[2] in graph.constants:
            x, weight = (graph.maker.get(name) for name in node.input[:2])
            if x is not None and weight is not None and x.op_type == weight.op_type == DEQUANTISE:
                name = node.input[2]
                scale = graph.constants[x.input[1]].astype(np.float64) * graph.constants[weight.input[1]].astype(np.float64)
                steps = np.rint(graph.constants[name] / scale).clip(-(2**31), 2**31 - 1).astype(np.int32)
                inputs = [
                    graph.constant(f"{name}.{node.output[0]}.int32", steps),
                    graph.constant(f"{name}.{node.output[0]}.scale", np.broadcast_to(scale, steps.shape).astype(np.float32)),
                ]
                # A scalar where the scale is one for all channels would need no axis; one per channel does.
                out.append(helper.make_node(DEQUANTISE, inputs, [f"{name}.{node.output[0]}"], f"{name}.{node.output[0]}.dq", axis=0))
                node.input[2] = f"{name}.{node.output[0]}"
        out.append(node)
    graph.nodes = out
    graph._index()


def integer_ends(graph: Graph) -> None:
    """The file takes and gives integers: the first QuantizeLinear and the last DequantizeLinear go."""
    image, logits = graph.model.graph.input[0], graph.model.graph.output[0]
    first = graph.readers.get(image.name, [])
    last = graph.maker.get(logits.name)
    if len(first) != 1 or first[0].op_type != QUANTISE or last is None or last.op_type != DEQUANTISE:
        kinds = Counter(node.op_type for node in first)
        raise ExportError(f"the graph does not begin and end in int8 (the image goes to {dict(kinds)}); export it as float32")
    quantise = last.input[0]
    graph.drop([first[0]])
    graph.nodes = [node for node in graph.nodes if node is not last]
    for node in graph.nodes:  # the value before the last dequantisation takes the output's name
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == quantise:
                    names[i] = logits.name
    for end in (image, logits):
        end.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    graph._index()


def ends(graph: Graph) -> tuple[tuple[float, int], tuple[float, int]]:
    """(scale, zero point) of the image and of the logits, before `integer_ends`."""
    first = graph.readers[graph.model.graph.input[0].name][0]
    last = graph.maker[graph.output]
    return _parameters(graph, first), _parameters(graph, last)


def _parameters(graph: Graph, node: NodeProto) -> tuple[float, int]:
    return float(graph.constants[node.input[1]].item()), int(graph.constants[node.input[2]].item())
