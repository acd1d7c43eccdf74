"""The flatbuffer of a TFLite file: packed tightly, and its operators counted.

A converter writes names that are whole call stacks, and gives every channel of an int8 weight its own eight-byte zero
point, always zero. Equal vectors are therefore stored once and names are cut to the path of the module: a small network
loses a quarter of its file and not one value.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from typing import Any, Literal

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgeseg.errors import ExportError
from edgeseg.export.tflite_patterns import share_patterns
from edgeseg.runtime.tflite_schema import operator_code, operator_name, parse

BUFFER_ALIGNMENT = 16  # `force_align` of Buffer.data in the schema; interpreters map weights in place
INTEGER_TYPES = {schema.TensorType.INT8, schema.TensorType.UINT8}
CAST_VERSION = 2  # of QUANTIZE from integers, and of DEQUANTIZE from float16
CAST_TYPES = {"QUANTIZE", "DEQUANTIZE"}


class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """A flatbuffers builder that stores equal vectors and equal names once and aligns the bytes of buffers."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._vectors: dict[tuple[str, bytes], int] = {}
        self._strings: dict[str | bytes, int] = {}

    def CreateString(self, s: str | bytes, *how: str) -> int:
        if s not in self._strings:  # a layer's weights, bias and output are all called by its path
            self._strings[s] = super().CreateString(s, *how)
        return self._strings[s]

    def CreateNumpyVector(self, x: Any) -> int:
        key = (x.dtype.str, x.tobytes())
        if key not in self._vectors:
            self._vectors[key] = self._aligned(x) if x.dtype == np.uint8 else super().CreateNumpyVector(x)
        return self._vectors[key]

    def _aligned(self, x: Any) -> int:
        self.StartVector(1, x.size, BUFFER_ALIGNMENT)
        self.head -= x.size
        self.Bytes[self.head : self.head + x.size] = x.tobytes()
        return int(self.EndVector())


def pack(data: bytes) -> bytes:
    """The same model as a converter wrote it, smaller. Once only: short names would be cut again."""
    model = parse(data)
    model.description = b"edgeseg"
    for graph in model.subgraphs:
        ends = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if index not in ends:  # the signature knows those by name
                tensor.name = short_name(tensor.name)
    share_patterns(model)
    _drop_unused_buffers(model)
    return _packed(model, len(data))


def retype_ends(data: bytes, dtype: Literal["uint8", "float32"]) -> bytes:
    """An int8 model whose image and logits are uint8 or float32, by one QUANTIZE or DEQUANTIZE at either end.

    Its kernels stay int8: TFLite's uint8 ones take no weights with a scale for each channel.
    """
    model = parse(data)
    [graph] = model.subgraphs
    [image], [logits] = graph.inputs, graph.outputs
    new = [_retyped(graph, index, dtype) for index in (image, logits)]
    graph.inputs, graph.outputs = [new[0]], [new[1]]
    graph.operators.insert(0, _cast(model, "QUANTIZE", new[0], image))
    graph.operators.append(_cast(model, "DEQUANTIZE" if dtype == "float32" else "QUANTIZE", logits, new[1]))
    for signature in model.signatureDefs or []:
        signature.inputs[0].tensorIndex, signature.outputs[0].tensorIndex = new
    return _packed(model, len(data))


def half_weights(data: bytes) -> bytes:
    """A float model with its constants in float16, each behind a DEQUANTIZE, which interpreters do once or not at all."""
    model = parse(data)
    casts = []
    for graph in model.subgraphs:
        for index, tensor in enumerate(list(graph.tensors)):
            content = model.buffers[tensor.buffer].data
            if tensor.type != schema.TensorType.FLOAT32 or content is None or not len(content):
                continue
            half = copy.deepcopy(tensor)
            half.type, half.buffer = schema.TensorType.FLOAT16, len(model.buffers)
            values = np.asarray(content, np.uint8).view(np.float32)
            if np.abs(values[np.isfinite(values)]).max(initial=0) > np.finfo(np.float16).max:
                raise ExportError(f"constant {short_name(tensor.name).decode()} is too large for float16; export it as float32")
            model.buffers.append(buffer := schema.BufferT())
            buffer.data = values.astype(np.float16).view(np.uint8)
            tensor.buffer = 0
            graph.tensors.append(half)
            casts.append(_cast(model, "DEQUANTIZE", len(graph.tensors) - 1, index))
        graph.operators = [*casts, *graph.operators]
    _drop_unused_buffers(model)
    return _packed(model, len(data))


def _retyped(graph: Any, index: int, dtype: Literal["uint8", "float32"]) -> int:
    """A tensor like that of `index` in another type, with the same values; its index."""
    tensor = copy.deepcopy(graph.tensors[index])
    if dtype == "float32":
        tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    else:
        tensor.type = schema.TensorType.UINT8
        tensor.quantization.zeroPoint = np.asarray(tensor.quantization.zeroPoint) + 128
    graph.tensors[index].name += b".int8"
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _cast(model: Any, name: Literal["QUANTIZE", "DEQUANTIZE"], source: int, target: int) -> Any:
    """An operator that turns tensor `source` into tensor `target`."""
    operator = schema.OperatorT()
    operator.opcodeIndex = operator_code(model, name, CAST_VERSION)
    operator.inputs, operator.outputs = [source], [target]
    options = {"QUANTIZE": schema.QuantizeOptionsT, "DEQUANTIZE": schema.DequantizeOptionsT}[name]
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, options.__name__[:-1])
    operator.builtinOptions = options()
    return operator


def _drop_unused_buffers(model: Any) -> None:
    owners = [*(tensor for graph in model.subgraphs for tensor in graph.tensors), *(model.metadata or [])]
    used = sorted({0, *(owner.buffer for owner in owners)})  # the first is that of all tensors without content
    model.buffers = [model.buffers[old] for old in used]
    for owner in owners:
        owner.buffer = used.index(owner.buffer)


def _packed(model: Any, size: int) -> bytes:
    builder = SharingBuilder(size)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def layer_scope(layer: str) -> tuple[str, str]:
    """(path, class) that litert-torch writes into tensors' names such that `short_name` finds `layer` again.

    It keeps what follows the last dot of a path and puts the class before it.
    """
    return layer.replace(".", "|"), "edgeseg.Layer"


def short_name(name: bytes) -> bytes:
    """The layer that `layer_scope` was given, else the path of attributes without classes.

    `edgeseg/edgeseg.Layer_stage1|0|conv;3` -> `stage1.0.conv`
    `pkg.Outer/pkg.Inner_block/torch.nn.Conv2d_0;` -> `block/0`
    """
    parts = name.split(b";")[0].split(b"/")
    if parts[-1].startswith(b"edgeseg.Layer_"):
        return parts[-1].removeprefix(b"edgeseg.Layer_").replace(b"|", b".")
    attributes = [match[1] for part in parts if (match := re.fullmatch(rb"[\w.<>]*\.[A-Za-z0-9<>]+_(\w+)", part))]
    return b"/".join(attributes) if attributes else parts[-1][-24:]


def count_ops(data: bytes) -> dict[str, int]:
    """Operators by what they work on: {"int8", "float", "transpose", "quantize"}."""
    model = parse(data)
    counts: Counter[str] = Counter(int8=0, float=0, transpose=0, quantize=0)
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = operator_name(model, operator)
            first = graph.tensors[operator.inputs[0]].type
            kind = "int8" if first in INTEGER_TYPES else "float"
            counts["quantize" if name in CAST_TYPES else "transpose" if name == "TRANSPOSE" else kind] += 1
    return dict(counts)
