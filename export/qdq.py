"""From a PT2E graph as `torch.onnx.export` writes it to a quantised ONNX graph that runtimes execute in integers.

What the exporter leaves stands in the way of every fusion: ReLU and Clip nodes between a convolution and its range, biases
in float, zero points behind casts, signed activations (x86 has fast kernels for unsigned times signed only). Each pass
below removes one of these; none changes a value. Do not run a simplifier afterwards: it would fold the weights back to
float.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgeseg.errors import ExportError
from edgeseg.export.choices import Target

Array = npt.NDArray[Any]
QUANTISE, DEQUANTISE = "QuantizeLinear", "DequantizeLinear"
SIGNED_TO_UNSIGNED = 128
WEIGHTED = {"Conv", "Gemm", "ConvTranspose"}
MOVING = {"Pad", "MaxPool", "Resize", "DepthToSpace", "SpaceToDepth", "Transpose", "Reshape", "Slice"}


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


def quantised(model: onnx.ModelProto, target: Target = "x86") -> onnx.ModelProto:
    """Apply the passes of `target`. Image (n, 3, h, w) and logits are then uint8 (x86), int8 (Arm) or float32 (TensorRT)."""
    graph = Graph(model)
    for apply in PASSES[target]:
        apply(graph)
    return graph.finish()


def drop_axes(graph: Graph) -> None:
    """An axis says nothing where there is one scale for all."""
    for node in graph.nodes:
        if node.op_type in (QUANTISE, DEQUANTISE) and not any(graph.constants[name].ndim for name in node.input[1:]):
            del node.attribute[:]


def fold_constants(graph: Graph) -> None:
    """Compute what depends on constants only, except what dequantises: weights are to stay integers."""
    kept = []
    for node in graph.nodes:
        value = graph.constants.get(node.input[0]) if node.op_type == "CastLike" else None
        if value is not None and value.dtype == np.float32:  # all that is computed is float32 before these passes
            graph.constants[node.output[0]] = value
            continue
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
    """Of a Clip; not a number where a bound is only computed when the model runs."""
    names = [*clip.input[1:], "", ""][:2]
    low, high = (
        float(graph.constants[name].item()) if name in graph.constants else np.nan if name else open_end
        for name, open_end in zip(names, (-np.inf, np.inf), strict=True)
    )
    return low, high


def unsign(graph: Graph) -> None:
    """Activations from int8 to uint8: every zero point moves by 128, no value changes. Weights stay int8."""
    for node in graph.nodes:
        if node.op_type not in (QUANTISE, DEQUANTISE) or graph.constants[node.input[2]].dtype != np.int8:
            continue
        if node.input[0] in graph.constants:
            if any(reader.op_type in WEIGHTED for reader in graph.readers.get(node.output[0], [])):
                continue
            node.input[0] = _moved(graph, node.input[0])
        node.input[2] = _moved(graph, node.input[2])


def _moved(graph: Graph, name: str) -> str:
    return graph.constant(f"{name}.uint8", (graph.constants[name].astype(np.int32) + SIGNED_TO_UNSIGNED).astype(np.uint8))


def quantise_biases(graph: Graph) -> None:
    """Biases as int32 in steps of (input scale x weight scale), which is what integer convolutions add."""
    out: list[NodeProto] = []
    for node in graph.nodes:
        if node.op_type in WEIGHTED and len(node.input) == 3 and node.input[2] in graph.constants:
            x, weight = (graph.maker.get(name) for name in node.input[:2])
            if x is not None and weight is not None and x.op_type == weight.op_type == DEQUANTISE:
                name, new = node.input[2], f"{node.input[2]}.{node.output[0]}"
                scale = graph.constants[x.input[1]].astype(np.float64) * graph.constants[weight.input[1]].astype(np.float64)
                steps = np.rint(graph.constants[name] / scale).clip(-(2**31), 2**31 - 1).astype(np.int32)
                inputs = [
                    graph.constant(f"{new}.int32", steps),
                    graph.constant(f"{new}.scale", np.broadcast_to(scale, steps.shape).astype(np.float32)),
                ]
                out.append(helper.make_node(DEQUANTISE, inputs, [new], f"{new}.dq", axis=0))
                node.input[2] = new
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
    quantise, dtype = last.input[0], graph.constants[last.input[2]].dtype
    graph.drop([first[0]])
    graph.nodes = [node for node in graph.nodes if node is not last]
    for node in graph.nodes:  # the value before the last dequantisation takes the output's name
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == quantise:
                    names[i] = logits.name
    for end in (image, logits):
        end.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(dtype)
    graph._index()


def pool_globally(graph: Graph) -> None:
    """A mean over rows and columns is a global average pooling, which has an integer kernel."""
    for node in graph.nodes:
        axes = graph.constants.get(node.input[1]) if node.op_type == "ReduceMean" and len(node.input) > 1 else None
        keeps = all(a.i for a in node.attribute if a.name == "keepdims")
        if axes is not None and keeps and sorted(int(a) % 4 for a in axes.ravel()) == [2, 3]:
            node.CopyFrom(helper.make_node("GlobalAveragePool", [node.input[0]], list(node.output), node.name))


def compare_integers(graph: Graph) -> None:
    """A comparison of two tensors with one range compares what is stored; its result becomes 0 or 1 without float.

    Equal(DQ(a), DQ(b)) -> Cast -> Q  becomes  Equal(a, b) -> Where(stored 1, stored 0).
    """
    out: list[NodeProto] = []
    for node in graph.nodes:
        pair = [graph.maker.get(name) for name in node.input] if node.op_type == "Equal" else []
        if len(pair) == 2 and all(p is not None and p.op_type == DEQUANTISE for p in pair) and _same(graph, pair):
            for i, maker in enumerate(pair):
                assert maker is not None
                node.input[i] = maker.input[0]
        readers = graph.readers.get(node.output[0], []) if node.op_type == "Cast" else []
        source = graph.maker.get(node.input[0]) if node.op_type == "Cast" else None
        if source is not None and source.op_type == "Equal" and readers and all(r.op_type == QUANTISE for r in readers):
            for reader in readers:
                scale, zero_point = (graph.constants[name] for name in reader.input[1:3])
                limits = np.iinfo(zero_point.dtype)
                one = np.clip(np.rint(1 / scale) + zero_point, limits.min, limits.max).astype(zero_point.dtype)
                values = [
                    graph.constant(f"{reader.output[0]}.one", one),
                    graph.constant(f"{reader.output[0]}.zero", zero_point),
                ]
                out.append(helper.make_node("Where", [source.output[0], *values], list(reader.output), f"{reader.name}.where"))
                reader.output[0] += ".unused"
            continue
        out.append(node)
    graph.nodes = out
    graph._index()


def move_integers(graph: Graph) -> None:
    """Operators that only move or select values do so with what is stored: DQ -> Pad -> Q becomes Pad."""
    for node in graph.nodes:
        if node.op_type not in MOVING or (node.op_type == "Resize" and _attribute(node, "mode") != b"nearest"):
            continue
        maker = graph.maker.get(node.input[0])
        readers = graph.readers.get(node.output[0], [])
        if maker is None or maker.op_type != DEQUANTISE or not readers or any(r.op_type != QUANTISE for r in readers):
            continue
        if not _same(graph, [maker, *readers]):
            continue
        if node.op_type == "Pad":
            del node.input[3:]  # axes that are not named are all axes
            value = [name for name in node.input[2:3] if name]
            if value and graph.constants[value[0]].any():
                continue
            del node.input[2:]
            node.input.append(maker.input[2])  # zero, as it is stored
        node.input[0] = maker.input[0]
        node.output[0] = readers[0].output[0]
        for reader in readers:
            for other in graph.readers.get(reader.output[0], []):
                for i, name in enumerate(other.input):
                    if name == reader.output[0]:
                        other.input[i] = node.output[0]
            reader.output[0] += ".unused"
        graph._index()


def _same(graph: Graph, nodes: list[NodeProto | None]) -> bool:
    return len({_parameters(graph, node) for node in nodes if node is not None}) == 1


def _attribute(node: NodeProto, name: str) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)


def _parameters(graph: Graph, node: NodeProto) -> tuple[float, int]:
    return float(graph.constants[node.input[1]].item()), int(graph.constants[node.input[2]].item())


SIGNED = (
    fold_constants,
    drop_integer_clips,
    drop_implied_activations,
    pool_globally,
    compare_integers,
    move_integers,
    quantise_biases,
    drop_axes,
    integer_ends,
)
PASSES: dict[Target, tuple[Callable[[Graph], None], ...]] = {
    "x86": (*SIGNED[:4], unsign, *SIGNED[4:]),
    # Its dot products are of signed bytes; and the bytes are then those of the TFLite file.
    "arm": SIGNED,
    # TensorRT fuses explicit Q/DQ pairs itself. It takes int8 around zero only, and biases in float: its parser refuses to
    # dequantise int32 ("only activation types allowed as input to this layer").
    "tensorrt": (fold_constants, drop_integer_clips, drop_implied_activations, pool_globally, drop_axes),
}
