"""What ONNX Runtime gets is integers, and gives what the quantised graph in torch gives."""

from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgeseg.export import qdq
from edgeseg.export.onnx_ops import count_ops, optimised
from edgeseg.export.qdq_graph import Graph
from edgeseg.export.quiet import quiet

with quiet():
    from edgeseg.calib.observers import MinMax
    from edgeseg.compress import quantize
    from edgeseg.export.to_onnx import to_onnx_int8

from edgeseg.models.layers import pool_with_mask, unpool


class Small(nn.Module):
    """Everything that the passes know: ReLU6, padding, masks, nearest enlargement, a global mean."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.act = nn.ReLU6()

    def forward(self, image):
        x = self.act(self.first(image))
        pooled, mask = pool_with_mask(x)
        y = nn.functional.pad(torch.relu(self.second(pooled)), (1, 1, 1, 1))[:, :, 1:-1, 1:-1]
        return unpool(y, mask) + nn.functional.adaptive_avg_pool2d(x, 1)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(the graph in torch, the file, the quantisation of its logits)"""
    torch.manual_seed(0)
    with quiet(), torch.no_grad():
        prepared = quantize.prepare(Small().eval(), (16, 16), MinMax)
        for _ in range(4):
            prepared(torch.rand(1, 3, 16, 16))
        graph = quantize.convert(prepared)
    path = tmp_path_factory.mktemp("onnx") / "small.onnx"
    onnx.save(to_onnx_int8(graph, (16, 16)), path)
    return graph, path, quantize.ends(graph)[1]


def test_nothing_is_left_in_float(exported):
    counts = count_ops(optimised(exported[1]))
    assert counts["float"] == 0
    assert counts["int8"] >= 10


def test_the_file_gives_what_the_graph_gives(exported):
    import onnxruntime

    graph, path, (scale, zero_point) = exported
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 16, 16)).astype(np.uint8)
    got = session.run(None, {"image": image})[0]
    assert got.dtype == np.uint8
    with torch.no_grad():
        expected = graph(torch.from_numpy(image).float() / 255).numpy()
    steps = np.abs((got.astype(float) - zero_point - 128) * scale - expected) / scale
    assert steps.max() < 2.5  # a rounding of one step in two layers, and in the addition


def test_weights_are_bytes_and_biases_are_whole_numbers(exported):
    model = onnx.load(exported[1])
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    makers = {n.output[0]: n for n in model.graph.node}
    convolutions = [n for n in model.graph.node if n.op_type == "Conv"]
    assert len(convolutions) == 2
    for node in convolutions:
        weight, bias = (makers[name].input[0] for name in node.input[1:3])
        assert (kinds[weight], kinds[bias]) == (TensorProto.INT8, TensorProto.INT32)
    left = Counter(n.op_type for n in model.graph.node)
    assert [left[op] for op in ("Clip", "Relu", "Cast")] == [0, 0, 0]


def relu_then_quantise(op, scale, zero_point, bounds=()):
    """image -> Q -> DQ -> Relu or Clip -> Q -> DQ -> logits"""
    constants = {"s": np.float32(0.1), "z": np.int8(0), "s2": np.float32(scale), "z2": np.int8(zero_point)}
    constants |= {f"b{i}": np.float32(b) for i, b in enumerate(bounds)}
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
        helper.make_node(op, ["x", *(f"b{i}" for i in range(len(bounds)))], ["y"]),
        helper.make_node("QuantizeLinear", ["y", "s2", "z2"], ["q2"]),
        helper.make_node("DequantizeLinear", ["q2", "s2", "z2"], ["logits"]),
    ]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [4])] for name in ("image", "logits")]
    values = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return Graph(helper.make_model(helper.make_graph(nodes, "g", *ends, values)))


@pytest.mark.parametrize(
    ("op", "scale", "zero_point", "bounds", "implied"),
    [
        ("Relu", 0.1, -128, (), True),  # the range begins at zero
        ("Relu", 0.1, -127, (), False),  # it begins at -0.1
        ("Clip", 6 / 255, -128, (0.0, 6.0), True),
        ("Clip", 3 / 255, -128, (0.0, 6.0), True),  # it ends below
        ("Clip", 7 / 255, -128, (0.0, 6.0), False),  # it ends at 7
        ("Clip", 6 / 255, -100, (0.0, 6.0), False),
    ],
)
def test_an_activation_goes_only_where_its_range_does_its_work(op, scale, zero_point, bounds, implied):
    graph = relu_then_quantise(op, scale, zero_point, bounds)
    qdq.drop_implied_activations(graph)
    assert (op not in [n.op_type for n in graph.nodes]) == implied


def test_a_clip_of_unknown_bounds_stays():
    graph = relu_then_quantise("Clip", 6 / 255, -128, (0.0, 6.0))
    del graph.constants["b1"]
    qdq.drop_implied_activations(graph)
    assert "Clip" in [n.op_type for n in graph.nodes]


def test_a_bound_behind_a_cast_is_known():
    graph = relu_then_quantise("Clip", 7 / 255, -128, (0.0, 6.0))
    graph.nodes.insert(0, helper.make_node("CastLike", ["b1", "image"], ["cast"]))
    next(n for n in graph.nodes if n.op_type == "Clip").input[2] = "cast"
    graph.index()
    qdq.fold_constants(graph)
    assert graph.constants["cast"] == 6


def test_a_graph_that_does_not_begin_in_integers_is_refused():
    graph = relu_then_quantise("Relu", 0.1, -128)
    graph.nodes = graph.nodes[1:]
    graph.nodes[0].input[0] = "image"
    graph.index()
    with pytest.raises(qdq.ExportError, match="does not begin and end in int8"):
        qdq.integer_ends(graph)
