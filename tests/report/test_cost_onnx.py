"""Expected numbers are the arithmetic of the shapes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.errors import ModelError
from edgeseg.report.cost_onnx import count_onnx
from tests.runtime.tiny_models import write_onnx


def write(path, nodes, constants=(), image=(1, 3, 8, 8), dtype=TensorProto.FLOAT, gives=None):
    """`nodes` are (operator, inputs, outputs, attributes); `constants` name -> array."""
    made = [helper.make_node(kind, given, made, name=f"n{i}", **rest) for i, (kind, given, made, rest) in enumerate(nodes)]
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("x", dtype, image)],
        [helper.make_tensor_value_info("y", gives or dtype, None)],
        [numpy_helper.from_array(value, name) for name, value in dict(constants).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def ones(*shape):
    return np.ones(shape, np.float32)


# Nodes, constants, image, MACs, parameters.
OPERATORS = [
    ("conv", [("Conv", ["x", "w", "b"], ["y"], {})], {"w": ones(4, 3, 3, 3), "b": ones(4)}, 36 * 4 * 27, 4 * 27 + 4),
    ("grouped", [("Conv", ["x", "w"], ["y"], {"group": 3})], {"w": ones(6, 1, 3, 3)}, 36 * 6 * 9, 54),
    ("transposed", [("ConvTranspose", ["x", "w"], ["y"], {"strides": [2, 2]})], {"w": ones(3, 5, 2, 2)}, 64 * 3 * 5 * 4, 60),
    ("product", [("MatMul", ["x", "w"], ["y"], {})], {"w": ones(8, 2)}, 3 * 8 * 2 * 8, 16),
    ("batch norm", [("BatchNormalization", ["x", "s", "t", "m", "v"], ["y"], {})], dict.fromkeys("stmv", ones(3)), 0, 6),
    ("a bias of its own", [("Add", ["x", "b"], ["y"], {})], {"b": ones(3, 1, 1)}, 0, 3),
    ("a mask is no parameter", [("Mul", ["x", "b"], ["y"], {})], {"b": ones(1, 1, 8, 8)}, 0, 0),
    ("a shape is none", [("Reshape", ["x", "s"], ["y"], {})], {"s": np.array([1, -1])}, 0, 0),
]


@pytest.mark.parametrize(("nodes", "constants", "macs", "params"), [c[1:] for c in OPERATORS], ids=[c[0] for c in OPERATORS])
def test_operators(tmp_path, nodes, constants, macs, params):
    cost = count_onnx(write(tmp_path / "m.onnx", nodes, constants))
    assert (cost.macs, cost.params, cost.size) == (macs, params, (8, 8))


def test_gemm_in_any_layout(tmp_path):
    for given, attributes in (((5, 10), {}), ((10, 5), {"transA": 1})):
        nodes = [("Gemm", ["x", "w"], ["y"], {**attributes, "transB": 1})]
        assert count_onnx(write(tmp_path / "m.onnx", nodes, {"w": ones(4, 10)}, image=given)).macs == 5 * 10 * 4


QDQ = [
    ("DequantizeLinear", ["x", "s", "z"], ["xf"], {}),
    ("DequantizeLinear", ["w", "s", "zw"], ["wf"], {}),
    ("Conv", ["xf", "wf"], ["c"], {}),
    ("Relu", ["c"], ["r"], {}),
    ("QuantizeLinear", ["r", "s", "z"], ["q"], {}),
    ("DequantizeLinear", ["q", "s", "z"], ["qf"], {}),
    ("Add", ["qf", "qf"], ["a"], {}),
    ("QuantizeLinear", ["a", "s", "z"], ["y"], {}),
]


def test_a_quantised_file_moves_bytes(tmp_path):
    constants = {"s": np.float32(0.1), "z": np.uint8(0), "zw": np.int8(0), "w": np.ones((4, 3, 1, 1), np.int8)}
    cost = count_onnx(write(tmp_path / "m.onnx", QDQ, constants, dtype=TensorProto.UINT8))
    conv, add = cost.layers
    assert (conv.kind, conv.macs, conv.operands) == ("Conv", 64 * 4 * 3, "int8")
    assert (conv.weight_bytes, conv.read_bytes, conv.written_bytes) == (12, 192, 256)
    assert (add.kind, add.read_bytes, add.written_bytes) == ("Add", 256, 256)
    assert cost.peak_bytes == 512
    assert cost.uncounted == {"Relu": 1, "Add": 1}


CONV, RELU = ("Conv", ["x", "w"], ["c"], {}), ("Relu", ["c"], ["r"], {})
SHAPED = ("Reshape", ["c", "s"], ["v"], {})
# A plane of 8x8x3 float32 has 768 bytes. Nodes, kinds of the layers, planes at once.
SHARED = [
    ("nobody else reads it", [CONV, ("Relu", ["c"], ["y"], {})], ["Conv"], 2),
    ("a sum reads it too", [CONV, RELU, ("Add", ["r", "c"], ["y"], {})], ["Conv", "Relu", "Add"], 3),
    (
        "a sum has read it",
        [CONV, ("Add", ["c", "c"], ["a"], {}), RELU, ("Add", ["r", "a"], ["y"], {})],
        ["Conv", "Add", "Relu", "Add"],
        3,
    ),
    (
        "a sum reads it in another shape",
        [CONV, SHAPED, ("Relu", ["v"], ["r"], {}), ("Reshape", ["c", "s"], ["u"], {}), ("Add", ["r", "u"], ["y"], {})],
        ["Conv", "Relu", "Add"],
        3,
    ),
    ("alone in another shape", [CONV, SHAPED, ("Relu", ["v"], ["y"], {})], ["Conv"], 2),
    ("of the image", [("Relu", ["x"], ["r"], {}), ("Conv", ["r", "w"], ["y"], {})], ["Relu", "Conv"], 2),
]


@pytest.mark.parametrize(("nodes", "kinds", "most"), [c[1:] for c in SHARED], ids=[c[0] for c in SHARED])
def test_an_activation_of_what_others_read_too(tmp_path, nodes, kinds, most):
    constants = {"w": ones(3, 3, 1, 1), "s": np.array([1, 3, 64])}
    cost = count_onnx(write(tmp_path / "m.onnx", nodes, constants))
    assert ([layer.kind for layer in cost.layers], cost.peak_bytes) == (kinds, 768 * most)


def test_an_activation_of_what_the_graph_gives_away(tmp_path):
    path = write(tmp_path / "m.onnx", [CONV, ("Relu", ["c"], ["y"], {})], {"w": ones(3, 3, 1, 1)})
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, None))
    onnx.save(model, path)
    cost = count_onnx(path)
    assert [(layer.kind, layer.written_bytes) for layer in cost.layers] == [("Conv", 768), ("Relu", 768)]


def test_a_quantised_tensor_that_an_activation_and_a_sum_read(tmp_path):
    """y, z and their sum as bytes: 8 x 8 x 4 of each."""
    nodes = [
        *QDQ[:3],
        ("QuantizeLinear", ["c", "s", "z"], ["q"], {}),
        ("DequantizeLinear", ["q", "s", "z"], ["qf"], {}),
        ("Relu", ["qf"], ["r"], {}),
        ("QuantizeLinear", ["r", "s", "z"], ["rq"], {}),
        ("DequantizeLinear", ["rq", "s", "z"], ["rf"], {}),
        ("Add", ["qf", "rf"], ["a"], {}),
        QDQ[-1],
    ]
    constants = {"s": np.float32(0.1), "z": np.uint8(0), "zw": np.int8(0), "w": np.ones((4, 3, 1, 1), np.int8)}
    cost = count_onnx(write(tmp_path / "m.onnx", nodes, constants, dtype=TensorProto.UINT8))
    assert [layer.kind for layer in cost.layers] == ["Conv", "Relu", "Add"]
    assert cost.peak_bytes == 3 * 256


def test_a_quantisation_of_the_image_is_work(tmp_path):
    constants = {"s": np.float32(0.1), "z": np.uint8(0)}
    nodes = [("QuantizeLinear", ["x", "s", "z"], ["y"], {})]
    cost = count_onnx(write(tmp_path / "m.onnx", nodes, constants, gives=TensorProto.UINT8))
    (layer,) = cost.layers
    assert (layer.kind, layer.read_bytes, layer.written_bytes) == ("QuantizeLinear", 4 * 192, 192)


def test_what_cannot_be_counted_is_named(tmp_path):
    nodes = [("NonZero", ["x"], ["i"], {}), ("Cast", ["i"], ["f"], {"to": 1}), ("MatMul", ["w", "f"], ["y"], {})]
    cost = count_onnx(write(tmp_path / "m.onnx", nodes, {"w": ones(2, 4)}))
    assert cost.uncounted == {"NonZero of unknown size": 1, "Cast of unknown size": 1, "MatMul of unknown size": 1}


def test_a_free_batch_is_one_image(tmp_path):
    nodes = [("Conv", ["x", "w"], ["y"], {})]
    assert count_onnx(write(tmp_path / "m.onnx", nodes, {"w": ones(1, 3, 1, 1)}, image=("n", 3, 8, 8))).macs == 64 * 3


def test_the_tiny_file(tmp_path):
    cost = count_onnx(write_onnx(tmp_path / "m.onnx"))
    assert (cost.macs, cost.params) == (8 * 8 * 4 * 4 * 3, 48)
    assert cost.peak_bytes == 4 * (32 * 32 * 3 + 64)


@pytest.mark.parametrize("content", [None, b"\x08\x08no model", b"\x08\x07" + b"\xff" * 30])
def test_files_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot be read|no valid ONNX"):
        count_onnx(path)
