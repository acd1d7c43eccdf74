"""A file of one multiplication by a constant: the constant is stored as its pattern, and the products are the same."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgeseg.export.tflite_file import count_ops, half_weights, pack
from edgeseg.report.cost_tflite import count_tflite
from edgeseg.runtime.quiet import quiet_stderr
from edgeseg.runtime.tflite_schema import operator_name, parse

SIDE = 64
ORDER = np.tile(np.array([[4, 3], [2, 1]]), (SIDE // 2, SIDE // 2)).reshape(1, SIDE, SIDE, 1)
TYPES = {np.int8: schema.TensorType.INT8, np.float32: schema.TensorType.FLOAT32}


def file_of(constant, operator="MUL", is_output=False):
    """image (1, 64, 64, 3) -> image * constant; scales are 1 in int8."""

    def tensor(name, shape, buffer):
        t = schema.TensorT()
        t.name, t.shape, t.type, t.buffer = name, shape, TYPES[constant.dtype.type], buffer
        if constant.dtype == np.int8:
            t.quantization = schema.QuantizationParametersT()
            t.quantization.scale, t.quantization.zeroPoint = [1.0], [0]
        return t

    graph = schema.SubGraphT()
    whole = (1, SIDE, SIDE, 3)
    graph.tensors = [tensor("image", whole, 1), tensor("order", constant.shape, 2), tensor("net.mul", whole, 3)]
    node = schema.OperatorT()
    node.opcodeIndex, node.inputs, node.outputs = 0, [0, 1], [2]
    node.builtinOptionsType, node.builtinOptions = schema.BuiltinOptions.MulOptions, schema.MulOptionsT()
    graph.inputs, graph.outputs, graph.operators = [0], [2, 1] if is_output else [2], [node]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, operator)
    code.version = 2
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT() for _ in range(4)]
    model.buffers[2].data = np.frombuffer(constant.tobytes(), np.uint8)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def interpreter(data):
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():
        made = Interpreter(model_content=data, num_threads=1)
        made.allocate_tensors()
    return made


def operators(data):
    model = parse(data)
    return [operator_name(model, operator) for operator in model.subgraphs[0].operators]


@pytest.mark.parametrize("dtype", TYPES)
def test_the_pattern_is_stored_once_and_gives_the_same(dtype):
    data = file_of(ORDER.astype(dtype))
    packed = pack(data)
    assert operators(packed) == ["TILE", "MUL"]
    assert len(packed) < len(data) - ORDER.astype(dtype).nbytes + 1000
    image = np.random.default_rng(0).integers(-30, 31, (1, SIDE, SIDE, 3)).astype(dtype)
    made = interpreter(packed)
    made.set_tensor(made.get_input_details()[0]["index"], image)
    made.invoke()
    assert np.array_equal(made.get_tensor(made.get_output_details()[0]["index"]), image * ORDER.astype(dtype))


def test_the_tile_works_on_int8(tmp_path):
    packed = pack(file_of(ORDER.astype(np.int8)))
    assert count_ops(packed) == {"int8": 2, "float": 0, "transpose": 0, "quantize": 0}
    [graph] = parse(packed).subgraphs
    tile = graph.operators[0]
    pattern, times, whole = (graph.tensors[i] for i in (*tile.inputs, *tile.outputs))
    assert [list(t.shape) for t in (pattern, whole)] == [[1, 2, 2, 1], [1, SIDE, SIDE, 1]]
    assert all((t.quantization.scale[0], t.quantization.zeroPoint[0]) == (1.0, 0) for t in (pattern, whole))
    assert times.type == schema.TensorType.INT32
    (path := tmp_path / "m.tflite").write_bytes(packed)
    cost = count_tflite(path)
    assert (cost.macs, cost.uncounted) == (0, {"MUL": 1})
    layer = cost.layers[0]
    assert (layer.name, layer.kind, layer.operands) == ("net.mul.pattern", "TILE", "int8")
    assert (layer.read_bytes, layer.written_bytes, layer.params) == (0, SIDE * SIDE, 0)


def test_all_but_the_tile_is_one_graph_of_xnnpack():
    made = interpreter(pack(file_of(ORDER.astype(np.int8))))
    assert [step["op_name"] for step in made._get_ops_details()] == ["TILE", "MUL", "DELEGATE"]  # the last is in place of MUL


def test_in_half_precision():
    halved = half_weights(pack(file_of(ORDER.astype(np.float32))))
    assert operators(halved) == ["DEQUANTIZE", "TILE", "MUL"]
    made = interpreter(halved)
    image = np.ones((1, SIDE, SIDE, 3), np.float32)
    made.set_tensor(made.get_input_details()[0]["index"], image)
    made.invoke()
    assert np.array_equal(made.get_tensor(made.get_output_details()[0]["index"]), image * ORDER)


def almost():
    values = ORDER.astype(np.int8)
    values[0, 63, 1, 0] = 3
    return values


@pytest.mark.parametrize(
    "data",
    [file_of(almost()), file_of(ORDER.astype(np.int8), "CONV_2D"), file_of(ORDER.astype(np.int8), is_output=True)],
    ids=["one byte differs", "a convolution's kernel", "an output"],
)
def test_what_stays_as_it_is(data):
    packed = pack(data)
    assert operators(packed) == operators(data)
    assert [len(b.data) for b in parse(packed).buffers if b.data is not None] == [SIDE * SIDE]
