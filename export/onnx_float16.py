"""A float ONNX model in half precision: weights and arithmetic float16, image and logits float32 as before.

This is for GPUs. ONNX Runtime's CPU has no float16 convolution: it computes such a file in float32, between casts.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeseg.errors import ExportError

# Inputs that stay float32 whatever the type of the tensor: (operator, position).
ALWAYS_FLOAT32 = {("Resize", 1), ("Resize", 2)}  # roi, scales


def halve(model: onnx.ModelProto) -> None:
    """Change `model` in place. ExportError for weights that float16 cannot hold."""
    graph = model.graph
    kept = {node.input[i] for node in graph.node for op, i in ALWAYS_FLOAT32 if node.op_type == op and i < len(node.input)}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            tensor.CopyFrom(_half(tensor, tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            elif attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT and kept.isdisjoint(node.output):
                attribute.t.CopyFrom(_half(attribute.t, attribute.t.name))
    image, logits = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        for end, name in ((node.input, image), (node.output, logits)):
            for i, value in enumerate(end):
                if value == name:
                    end[i] = f"{name}.float16"
    graph.node.insert(0, helper.make_node("Cast", [image], [f"{image}.float16"], "to_float16", to=TensorProto.FLOAT16))
    graph.node.append(helper.make_node("Cast", [f"{logits}.float16"], [logits], "to_float32", to=TensorProto.FLOAT))
    onnx.checker.check_model(model, full_check=True)


def _half(tensor: TensorProto, name: str) -> TensorProto:
    value = numpy_helper.to_array(tensor)
    if np.abs(value[np.isfinite(value)]).max(initial=0) > np.finfo(np.float16).max:
        raise ExportError(f"a constant of shape {value.shape} is too large for float16; export it as float32")
    return numpy_helper.from_array(value.astype(np.float16), name)
