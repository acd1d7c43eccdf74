"""Models that do nothing but multiply: a chain of 1x1 convolutions with as many channels in as out, for `roofline.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeseg.errors import MissingExtraError

CHANNELS, SIDE, LAYERS = 512, 16, 8
MACS = LAYERS * SIDE * SIDE * CHANNELS * CHANNELS
SCALE = 0.05  # of int8 tensors; its value does not matter
Precision = Literal["float32", "int8"]


def write_onnx(path: Path, precision: str) -> None:
    """As ONNX: float32, or unsigned activations by signed weights. MissingExtraError without the `onnx` package."""
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        raise MissingExtraError("onnx", "export", "measuring the peak of ONNX Runtime") from None
    is_int8 = precision == "int8"
    weight = _weights(np.int8 if is_int8 else np.float32).reshape(CHANNELS, CHANNELS, 1, 1)
    constants = {"w": weight, "s": np.float32(SCALE), "z": np.uint8(128), "zw": np.int8(0)} if is_int8 else {"w": weight}
    nodes = []
    for i in range(LAYERS):
        given, made = f"x{i}", f"x{i + 1}"
        quantised = [given, "s", "z", "w", "s", "zw", "s", "z"]
        kind = "QLinearConv" if is_int8 else "Conv"
        nodes.append(helper.make_node(kind, quantised if is_int8 else [given, "w"], [made]))
    dtype = TensorProto.UINT8 if is_int8 else TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(f"x{i}", dtype, [1, CHANNELS, SIDE, SIDE]) for i in (0, LAYERS)]
    initialisers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "peak", ends[:1], ends[1:], initialisers)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)


def write_tflite(path: Path, precision: str) -> None:
    """As TFLite. MissingExtraError without LiteRT's schema."""
    try:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        raise MissingExtraError("ai-edge-litert", "litert", "measuring the peak of LiteRT") from None
    is_int8 = precision == "int8"
    kind = schema.TensorType.INT8 if is_int8 else schema.TensorType.FLOAT32
    weight = _weights(np.int8 if is_int8 else np.float32)
    bias = np.zeros(CHANNELS, np.int32 if is_int8 else np.float32)
    buffers = [schema.BufferT() for _ in range(3)]
    buffers[1].data, buffers[2].data = weight.view(np.uint8).ravel(), bias.view(np.uint8)

    def tensor(name: str, shape: list[int], dtype: int, buffer: int = 0, scale: float = SCALE) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, shape, dtype, buffer
        if is_int8:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [0]
        return made

    plane = [1, SIDE, SIDE, CHANNELS]
    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("w", [CHANNELS, 1, 1, CHANNELS], kind, 1),
        tensor("b", [CHANNELS], schema.TensorType.INT32 if is_int8 else kind, 2, SCALE * SCALE),
        *(tensor(f"x{i}", plane, kind) for i in range(LAYERS + 1)),
    ]
    graph.inputs, graph.outputs = [2], [2 + LAYERS]
    graph.operators = [_convolution(schema, [2 + i, 0, 1], 3 + i) for i in range(LAYERS)]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    code.version = 3
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], buffers
    builder = flatbuffers.Builder(weight.nbytes + 4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def _convolution(schema: Any, inputs: list[int], output: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [output]
    operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
    options = operator.builtinOptions = schema.Conv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    return operator


def _weights(dtype: Any) -> Any:
    random = np.random.default_rng(0)
    if dtype is np.int8:
        return random.integers(-127, 128, (CHANNELS, CHANNELS), np.int8)
    return random.standard_normal((CHANNELS, CHANNELS), np.float32) / np.float32(CHANNELS**0.5)
