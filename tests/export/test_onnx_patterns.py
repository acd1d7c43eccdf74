"""A file of one product with a constant: the constant is stored as its pattern, and ONNX Runtime repeats it on loading."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.export.onnx_ops import optimised
from edgeseg.export.onnx_patterns import share_patterns
from edgeseg.report.cost_onnx import count_onnx

SIDE = 64
ORDER = np.tile(np.array([[4, 3], [2, 1]]), (SIDE // 2, SIDE // 2))
QUANTISED = [
    ("DequantizeLinear", ["order", "one", "zero"], ["order.float"]),
    ("Mul", ["image", "order.float"], ["logits"]),
]
PRODUCT = [("Mul", ["image", "order"], ["logits"])]
HALF = [
    ("Cast", ["image"], ["image.half"], {"to": TensorProto.FLOAT16}),
    ("Mul", ["image.half", "order"], ["logits.half"]),
    ("Cast", ["logits.half"], ["logits"], {"to": TensorProto.FLOAT}),
]
CONVOLVED = [("Conv", ["image", "order"], ["logits"])]
QUANTISED_KERNEL = [QUANTISED[0], ("Conv", ["image", "order.float"], ["logits"])]


def file_of(nodes, order, outputs=("logits",)):
    """image (1, 1, 64, 64) -> logits"""
    constants = {"order": order, "one": np.float32(1), "zero": np.zeros((), order.dtype)}
    read = {name for _, given, *_ in nodes for name in given}
    ends = {"logits": TensorProto.FLOAT, "order": helper.np_dtype_to_tensor_dtype(order.dtype)}
    shapes = {"logits": (1, 1, "h", "w"), "order": order.shape}
    graph = helper.make_graph(
        [helper.make_node(kind, given, made, made[0], **(rest[0] if rest else {})) for kind, given, made, *rest in nodes],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 1, SIDE, SIDE))],
        [helper.make_tensor_value_info(name, ends[name], shapes[name]) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items() if name in read],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def result(model):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(-30, 31, (1, 1, SIDE, SIDE)).astype(np.float32)
    return image, session.run(["logits"], {"image": image})[0]


SHARED = [
    ("float32", PRODUCT, np.float32),
    ("uint8", QUANTISED, np.uint8),
    ("int8", QUANTISED, np.int8),
    ("float16", HALF, np.float16),
]


@pytest.mark.parametrize(("nodes", "dtype"), [c[1:] for c in SHARED], ids=[c[0] for c in SHARED])
def test_the_pattern_is_stored_once_and_gives_the_same(tmp_path, nodes, dtype):
    before, model = (file_of(nodes, ORDER.astype(dtype)) for _ in range(2))
    share_patterns(model)
    assert model.graph.node[0].op_type == "Tile"
    assert max(numpy_helper.to_array(t).size for t in model.graph.initializer) == 4
    assert model.ByteSize() < before.ByteSize() - ORDER.astype(dtype).nbytes + 500
    image, products = result(model)
    assert np.array_equal(products, image * ORDER)
    paths = [tmp_path / name for name in ("before.onnx", "after.onnx")]
    for path, content in zip(paths, (before, model), strict=True):
        onnx.save(content, path)
    old, new = ([node.op_type for node in optimised(path).graph.node] for path in paths)
    assert old == new
    assert count_onnx(paths[0]) == count_onnx(paths[1])


def almost():
    values = ORDER.astype(np.int8)
    values[63, 1] = 3
    return values


KERNEL = ORDER.reshape(1, 1, SIDE, SIDE)
KEPT = [
    ("one byte differs", file_of(QUANTISED, almost())),
    ("a convolution's kernel", file_of(CONVOLVED, KERNEL.astype(np.float32))),
    ("a quantised one", file_of(QUANTISED_KERNEL, KERNEL.astype(np.int8))),
    ("an output", file_of(PRODUCT, ORDER.astype(np.float32), outputs=("logits", "order"))),
]


@pytest.mark.parametrize("model", [c[1] for c in KEPT], ids=[c[0] for c in KEPT])
def test_what_stays_as_it_is(model):
    before = model.SerializeToString()
    share_patterns(model)
    assert model.SerializeToString() == before
