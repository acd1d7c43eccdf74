"""From a PT2E graph as `torch.onnx.export` writes it to a quantised ONNX graph that runtimes execute in integers.

What the exporter leaves stands in the way of every fusion: ReLU and Clip nodes between a convolution and its range, biases
in float, zero points behind casts, signed activations (x86 has fast kernels for unsigned times signed only). Each pass
below removes one of these; none changes a value. Do not run a simplifier afterwards: it would fold the weights back to
float.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
from onnx import NodeProto, helper
from onnx.reference import ReferenceEvaluator

from edgeseg.errors import ExportError
from edgeseg.export import qdq_kernels
from edgeseg.export.choices import Target
from edgeseg.export.qdq_graph import DEQUANTISE, MOVING, QUANTISE, Graph, attribute_of, same

SIGNED_TO_UNSIGNED = 128
WEIGHTED = {"Conv", "Gemm", "ConvTranspose"}


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
    graph.index()


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
    graph.index()


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
    graph.index()


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
        if len(pair) == 2 and all(p is not None and p.op_type == DEQUANTISE for p in pair) and same(graph, pair):
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
    graph.index()


def move_integers(graph: Graph) -> None:
    """Operators that only move or select values do so with what is stored: DQ -> Pad -> Q becomes Pad."""
    for node in graph.nodes:
        if node.op_type not in MOVING or (node.op_type == "Resize" and attribute_of(node, "mode") != b"nearest"):
            continue
        maker = graph.maker.get(node.input[0])
        readers = graph.readers.get(node.output[0], [])
        if maker is None or maker.op_type != DEQUANTISE or not readers or any(r.op_type != QUANTISE for r in readers):
            continue
        if not same(graph, [maker, *readers]):
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
        graph.index()


SIGNED = (
    fold_constants,
    drop_integer_clips,
    drop_implied_activations,
    pool_globally,
    compare_integers,
    move_integers,
    qdq_kernels.select_by_masks,
    quantise_biases,
    drop_axes,
    integer_ends,
    qdq_kernels.enlarge_by_concatenation,
    qdq_kernels.shuffle_by_concatenation,
    qdq_kernels.pool_by_slices,
)
PASSES: dict[Target, tuple[Callable[[Graph], None], ...]] = {
    "x86": (*SIGNED[:4], unsign, *SIGNED[4:]),
    # Its dot products are of signed bytes; and the bytes are then those of the TFLite file.
    "arm": SIGNED,
    # TensorRT fuses explicit Q/DQ pairs itself. It takes int8 around zero only, and biases in float: its parser refuses to
    # dequantise int32 ("only activation types allowed as input to this layer").
    "tensorrt": (fold_constants, drop_integer_clips, drop_implied_activations, pool_globally, drop_axes),
}
