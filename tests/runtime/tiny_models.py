"""Model files of a few kilobytes, written by hand: the person is what is red.

Both take a picture of 32 x 32 and give 8 x 8 logits, 16 (r - g), r and g the means of 4 x 4 pixels in 0..1.
"""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.spec import ONNX_KEY, TFLITE_MEMBER, Quantisation, Spec

GAIN = 16.0

ONNX_SPEC = Spec(
    model="red",
    size=(32, 32),
    output_size=(8, 8),
    layout="NCHW",
    input_dtype="float32",
    output_dtype="float32",
    output="logits",
    classes=("background", "person"),
    person_class=1,
)
TFLITE_SPEC = dataclasses.replace(
    ONNX_SPEC,
    layout="NHWC",
    precision="int8",
    input_dtype="int8",
    output_dtype="int8",
    input_quantisation=Quantisation(1 / 255, -128),
    output_quantisation=Quantisation(0.125, 0),
)


def write_onnx(path: Path, spec: Spec | None = ONNX_SPEC, weights: Any = ((GAIN, -GAIN, 0.0),)) -> Path:
    """A 4 x 4 convolution of stride 4; `weights` (c, 3) gives each output channel's gain on r, g, b."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kernel = np.repeat(np.array(weights, np.float32)[:, :, None, None] / 16, 4, axis=2).repeat(4, axis=3)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "kernel"], ["logits"], strides=[4, 4])],
        "red",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(kernel), 8, 8])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    if spec is not None:
        helper.set_model_props(model, {ONNX_KEY: spec.to_json()})
    onnx.save(model, path)
    return path


def write_tflite(path: Path, spec: Spec | None = TFLITE_SPEC) -> Path:
    """The same network as int8: scale 1/255 and zero point -128 in, scale 1/8 and zero point 0 out."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as s

    def tensor(name: str, shape: list[int], dtype: int, buffer: int, scale: float, zero_point: int) -> Any:
        t = s.TensorT()
        t.name, t.shape, t.type, t.buffer = name, shape, dtype, buffer
        t.quantization = s.QuantizationParametersT()
        t.quantization.scale, t.quantization.zeroPoint = [scale], [zero_point]
        return t

    step = GAIN / 16 / 127  # of the weights: +-127 are the gains of one pixel
    kernel = np.zeros((1, 4, 4, 3), np.int8)
    kernel[..., 0], kernel[..., 1] = 127, -127
    buffers = [s.BufferT() for _ in range(5)]
    buffers[2].data = kernel.ravel().view(np.uint8)
    buffers[3].data = np.zeros(4, np.uint8)
    conv = s.OperatorT()
    conv.opcodeIndex, conv.inputs, conv.outputs = 0, [0, 1, 2], [3]
    conv.builtinOptionsType = s.BuiltinOptions.Conv2DOptions
    conv.builtinOptions = s.Conv2DOptionsT()
    conv.builtinOptions.padding = s.Padding.VALID
    conv.builtinOptions.strideH = conv.builtinOptions.strideW = 4
    conv.builtinOptions.dilationHFactor = conv.builtinOptions.dilationWFactor = 1
    graph = s.SubGraphT()
    graph.tensors = [
        tensor("image", [1, 32, 32, 3], s.TensorType.INT8, 1, 1 / 255, -128),
        tensor("kernel", [1, 4, 4, 3], s.TensorType.INT8, 2, step, 0),
        tensor("bias", [1], s.TensorType.INT32, 3, step / 255, 0),
        tensor("logits", [1, 8, 8, 1], s.TensorType.INT8, 4, 0.125, 0),
    ]
    graph.inputs, graph.outputs, graph.operators = [0], [3], [conv]
    code = s.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = s.BuiltinOperator.CONV_2D
    code.version = 3
    model = s.ModelT()
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], buffers
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    if spec is not None:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(TFLITE_MEMBER, spec.to_json())
    return path
