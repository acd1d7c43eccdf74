"""A 2x2 pattern over a whole feature map, in an ONNX file: stored once, and repeated by a Tile.

ONNX Runtime does it when it loads the file. TensorRT wants a constant in int8 right before its DequantizeLinear: leave files
for it alone.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeseg.export.patterns import multiples, repeated_corner
from edgeseg.export.qdq_graph import DEQUANTISE, QUANTISE

# Operators that take any tensor where they take a constant, and what may stand before them.
ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Where", "Equal"}
PLUMBING = {QUANTISE, DEQUANTISE, "Cast"}


def share_patterns(model: onnx.ModelProto) -> None:
    """Change `model` in place."""
    graph = model.graph
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)

    def is_operand(name: str) -> bool:
        """Whether all that reads `name`, however it is stored, works element by element."""
        if not readers[name] or any(value.name == name for value in graph.output):
            return False
        return all(
            node.op_type in ELEMENTWISE or (node.op_type in PLUMBING and node.input[0] == name and is_operand(node.output[0]))
            for node in readers[name]
        )

    made = []
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        rows = values.ndim - 2  # (..., h, w)
        pattern = repeated_corner(values, rows) if rows >= 0 else None
        if pattern is None or not is_operand(tensor.name):
            continue
        name = tensor.name
        small, times, wide = (f"{name}.{part}" for part in ("pattern", "multiples", "float32"))
        half = tensor.data_type == TensorProto.FLOAT16
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(pattern.astype(np.float32) if half else pattern, small))
        graph.initializer.append(numpy_helper.from_array(np.array(multiples(values.shape, rows), np.int64), times))
        made.append(helper.make_node("Tile", [small, times], [wide if half else name], f"{name}.tile"))
        if half:  # ONNX Runtime repeats no float16 on a processor, and so would not do it on loading
            made.append(helper.make_node("Cast", [wide], [name], f"{name}.cast", to=TensorProto.FLOAT16))
    for node in reversed(made):
        graph.node.insert(0, node)
    onnx.checker.check_model(model)
