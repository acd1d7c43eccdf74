"""The flatbuffer of a TFLite file: packed tightly, and its operators counted.

A converter writes names that are whole call stacks, and gives every channel of an int8 weight its own eight-byte zero
point, always zero. Equal vectors are therefore stored once and names are cut to the path of the module: a small network
loses a quarter of its file and not one value.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

BUFFER_ALIGNMENT = 16  # `force_align` of Buffer.data in the schema; interpreters map weights in place
OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
INTEGER_TYPES = {schema.TensorType.INT8, schema.TensorType.UINT8}
CAST_TYPES = {"QUANTIZE", "DEQUANTIZE"}


class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """A flatbuffers builder that stores equal vectors once and aligns the bytes of buffers."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._vectors: dict[tuple[str, bytes], int] = {}

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


def parse(data: bytes) -> Any:
    """The model as the object tree of the TFLite schema."""
    return schema.ModelT.InitFromPackedBuf(data, 0)


def pack(data: bytes) -> bytes:
    """The same model, smaller."""
    model = parse(data)
    model.description = b"edgeseg"
    for graph in model.subgraphs:
        ends = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if index not in ends:  # the signature knows those by name
                tensor.name = short_name(tensor.name)
    builder = SharingBuilder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def short_name(name: bytes) -> bytes:
    """`pkg.Outer/pkg.Inner_block/torch.nn.Conv2d_0;` -> `block/0`: the path of attributes, without classes."""
    parts = name.split(b";")[0].split(b"/")
    attributes = [match[1] for part in parts if (match := re.fullmatch(rb"[\w.<>]*\.[A-Za-z0-9<>]+_(\w+)", part))]
    return b"/".join(attributes) if attributes else parts[-1][-24:]


def count_ops(data: bytes) -> dict[str, int]:
    """Operators by what they work on: {"int8", "float", "transpose", "quantize"}."""
    model = parse(data)
    counts: Counter[str] = Counter(int8=0, float=0, transpose=0, quantize=0)
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = OPERATORS[model.operatorCodes[operator.opcodeIndex].builtinCode]
            first = graph.tensors[operator.inputs[0]].type
            kind = "int8" if first in INTEGER_TYPES else "float"
            counts["quantize" if name in CAST_TYPES else "transpose" if name == "TRANSPOSE" else kind] += 1
    return dict(counts)
