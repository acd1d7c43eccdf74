"""A 2x2 pattern over a whole feature map, in a TFLite file: stored once, and repeated by a TILE.

XNNPACK has no such operator. LiteRT's own kernel does it, in microseconds of every inference, and it comes first: all that
is behind it stays one graph of XNNPACK's.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgeseg.export.patterns import multiples, repeated_corner
from edgeseg.runtime.tflite_schema import operator_code, operator_name

ROWS = 1  # (n, h, w, c)
TYPES = {schema.TensorType.INT8: np.int8, schema.TensorType.UINT8: np.uint8, schema.TensorType.FLOAT32: np.float32}
# Operators that take any tensor where they take a constant. Kernels of convolutions must stay constants.
ELEMENTWISE = {"ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM"}


def share_patterns(model: Any) -> None:
    """Change `model`, a tree of the schema, in place. Contents that nothing names afterwards stay in its buffers."""
    for graph in model.subgraphs:
        tiles = []
        for index, tensor in enumerate(list(graph.tensors)):
            readers = [operator for operator in graph.operators if index in operator.inputs]
            pattern = None if index in (*graph.inputs, *graph.outputs) else _pattern(model, tensor)
            if pattern is None or not readers or not {operator_name(model, r) for r in readers} <= ELEMENTWISE:
                continue
            tensor.name = graph.tensors[readers[0].outputs[0]].name + b".pattern"  # that of the TILE, in reports
            small = copy.deepcopy(tensor)
            small.name, small.shape = b"pattern", np.array(pattern.shape, np.int32)
            small.buffer = _buffer(model, pattern)
            times = schema.TensorT()
            times.name, times.type, times.shape = b"multiples", schema.TensorType.INT32, np.array([4], np.int32)
            times.buffer = _buffer(model, np.array(multiples(tuple(tensor.shape), ROWS), np.int32))
            tensor.buffer = 0
            graph.tensors += [small, times]
            tiles.append(_tile(model, [len(graph.tensors) - 2, len(graph.tensors) - 1], index))
        graph.operators = [*tiles, *graph.operators]


def _pattern(model: Any, tensor: Any) -> np.ndarray[Any, Any] | None:
    content = model.buffers[tensor.buffer].data
    if content is None or tensor.type not in TYPES or tensor.shape is None or len(tensor.shape) != 4:
        return None
    values = np.asarray(content, np.uint8).view(TYPES[tensor.type])
    return repeated_corner(values.reshape(tensor.shape), ROWS) if values.size == np.prod(tensor.shape) else None


def _buffer(model: Any, values: np.ndarray[Any, Any]) -> int:
    model.buffers.append(buffer := schema.BufferT())
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    return len(model.buffers) - 1


def _tile(model: Any, inputs: list[int], output: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = operator_code(model, "TILE", 1)
    operator.inputs, operator.outputs = inputs, [output]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.TileOptions, schema.TileOptionsT()
    return operator
