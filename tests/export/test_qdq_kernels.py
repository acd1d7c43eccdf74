"""Operators written in faster ones give the same bytes."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.export import qdq_kernels
from edgeseg.export.qdq_graph import Graph

UINT8 = TensorProto.UINT8


def model_of(nodes, shape, constants=(), out_shape=(None,) * 4):
    """uint8 image -> `nodes` -> uint8 logits"""
    image = helper.make_tensor_value_info("image", UINT8, shape)
    logits = helper.make_tensor_value_info("logits", UINT8, out_shape)
    values = [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [image], [logits], values), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    return onnx.shape_inference.infer_shapes(model)


def run(model, image):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"image": image})[0]


def rewritten(model, apply):
    """(operators afterwards, the model)"""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = Graph(copy)
    apply(graph)
    return {node.op_type for node in graph.nodes}, graph.finish()


def resize(scales, mode="nearest"):
    node = helper.make_node(
        "Resize", ["image", "", "s"], ["logits"], mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    return [node], {"s": np.array([1, 1, *scales], np.float32)}


def shuffle(stride, mode="CRD"):
    return [helper.make_node("DepthToSpace", ["image"], ["logits"], blocksize=stride, mode=mode)], {}


def pool(**arguments):
    return [helper.make_node("MaxPool", ["image"], ["logits"], **arguments)], {}


@pytest.mark.parametrize(
    ("apply", "made", "gone"),
    [
        (qdq_kernels.enlarge_by_concatenation, resize((2, 2)), "Resize"),
        (qdq_kernels.enlarge_by_concatenation, resize((3, 3)), "Resize"),
        (qdq_kernels.shuffle_by_concatenation, shuffle(2), "DepthToSpace"),
        (qdq_kernels.shuffle_by_concatenation, shuffle(3), "DepthToSpace"),
        (qdq_kernels.pool_by_slices, pool(kernel_shape=[2, 2], strides=[2, 2]), "MaxPool"),
    ],
)
@pytest.mark.parametrize("batch", [1, 2])
def test_the_same_bytes(apply, made, gone, batch):
    image = np.random.default_rng(1).integers(0, 256, (batch, 36, 6, 10)).astype(np.uint8)
    model = model_of(made[0], ["n", 36, 6, 10], made[1])
    left, fast = rewritten(model, apply)
    assert gone not in left
    assert np.array_equal(run(fast, image), run(model, image))


@pytest.mark.parametrize(
    ("apply", "made"),
    [
        (qdq_kernels.enlarge_by_concatenation, resize((2, 3))),
        (qdq_kernels.enlarge_by_concatenation, resize((1.5, 1.5))),
        (qdq_kernels.enlarge_by_concatenation, resize((2, 2), "linear")),
        (qdq_kernels.shuffle_by_concatenation, shuffle(2, "DCR")),
        (qdq_kernels.pool_by_slices, pool(kernel_shape=[3, 3], strides=[2, 2])),
        (qdq_kernels.pool_by_slices, pool(kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1])),
    ],
)
def test_what_they_do_not_cover_is_left_alone(apply, made):
    left, _ = rewritten(model_of(made[0], [1, 36, 6, 10], made[1]), apply)
    assert left == {made[0][0].op_type}


def masked(product_scale=0.1, one=255):
    """logits = image masked twice: by where it is 5, and by where it is below its own last row's maximum, or a constant."""
    constants = {"s": np.float32(0.1), "z": np.uint8(7), "ps": np.float32(product_scale), "ms": np.float32(1 / 255)}
    constants |= {"zero": np.uint8(0), "one": np.uint8(one), "five": np.uint8(5), "six": np.uint8(6)}
    nodes = [
        helper.make_node("Less", ["five", "image"], ["b1"]),
        helper.make_node("Less", ["image", "six"], ["b2"]),
        helper.make_node("Where", ["b1", "one", "zero"], ["m1"]),
        helper.make_node("Where", ["b2", "one", "zero"], ["m2"]),
        helper.make_node("DequantizeLinear", ["m1", "ms", "zero"], ["d1"]),
        helper.make_node("DequantizeLinear", ["m2", "ms", "zero"], ["d2"]),
        helper.make_node("Mul", ["d1", "d2"], ["product"]),
        helper.make_node("QuantizeLinear", ["product", "ms", "zero"], ["m"]),
        helper.make_node("DequantizeLinear", ["m", "ms", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["image", "s", "z"], ["x"]),
        helper.make_node("Mul", ["x", "d"], ["y"]),
        helper.make_node("QuantizeLinear", ["y", "ps", "z"], ["logits"]),
    ]
    return model_of(nodes, [1, 3, 4, 4], constants)


def test_masks_select():
    image = np.random.default_rng(2).integers(3, 9, (1, 3, 4, 4)).astype(np.uint8)
    model = masked()
    left, fast = rewritten(model, qdq_kernels.select_by_masks)
    assert "Mul" not in left
    assert [n.op_type for n in fast.graph.node] == ["Less", "Less", "And", "Where"]
    assert np.array_equal(run(fast, image), run(model, image))


@pytest.mark.parametrize(("arguments", "products"), [({"product_scale": 0.2}, 1), ({"one": 254}, 2)])
def test_products_that_rescale_stay(arguments, products):
    model = masked(**arguments)
    _, fast = rewritten(model, qdq_kernels.select_by_masks)
    assert [n.op_type for n in fast.graph.node].count("Mul") == products
    image = np.random.default_rng(2).integers(3, 9, (1, 3, 4, 4)).astype(np.uint8)
    assert np.array_equal(run(fast, image), run(model, image))
