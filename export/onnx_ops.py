"""What ONNX Runtime makes of an ONNX file: its optimised graph, and the operators in it."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import onnx
from onnx import TensorProto

INTEGER_TYPES = {TensorProto.UINT8, TensorProto.INT8}


def optimised(path: Path) -> onnx.ModelProto:
    """The graph that ONNX Runtime executes on this machine's CPU. The layout passes, which depend on the machine, included."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.qdqisint8allowed", "1")  # default on Arm only
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def count_ops(model: onnx.ModelProto) -> dict[str, int]:
    """Operators by what they work on: {"int8", "float", "transpose", "quantize"}.

    Operators of ONNX Runtime's own have no type inference, so types are carried along: an operator works on
    integers if its first input does.
    """
    types = {t.name: t.data_type for t in model.graph.initializer}
    types |= {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
    counts: Counter[str] = Counter(int8=0, float=0, transpose=0, quantize=0)
    for node in model.graph.node:
        takes = next((types.get(name, TensorProto.FLOAT) for name in node.input if name), TensorProto.FLOAT)
        gives = takes
        if node.op_type == "QuantizeLinear":
            gives = types.get(node.input[2], TensorProto.UINT8)
        elif node.op_type == "DequantizeLinear":
            gives = TensorProto.FLOAT
        elif node.op_type == "Cast":
            gives = next(a.i for a in node.attribute if a.name == "to")
        elif node.op_type.startswith("QLinear"):
            gives = TensorProto.UINT8
        elif node.op_type == "Where":
            takes = gives = types.get(node.input[1], TensorProto.FLOAT)
        types |= dict.fromkeys(node.output, gives)
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            counts["quantize"] += 1
        elif node.op_type in ("Transpose", "ReorderInput", "ReorderOutput"):
            counts["transpose"] += 1
        else:
            counts["int8" if takes in INTEGER_TYPES or node.op_type.startswith("QLinear") else "float"] += 1
    return dict(counts)
