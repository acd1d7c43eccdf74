"""Small ONNX files with a Spec, for tests that need something to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from edgeseg.spec import ONNX_KEY, Spec

PERSON = ("background", "person")


def make_spec(**changes: Any) -> Spec:
    values: dict[str, Any] = {
        "model": "tiny",
        "size": (8, 16),
        "output_size": (8, 16),
        "layout": "NCHW",
        "input_dtype": "float32",
        "output_dtype": "float32",
        "output": "logits",
        "classes": PERSON,
        "person_class": 1,
        "params": 4,
        "macs": 3 * 8 * 16,
    }
    return Spec(**(values | changes))


def write_onnx(path: Path, spec: Spec | None, weight: float = 1.0, bias: float = -1.5) -> Path:
    """A 1x1 convolution whose logit is weight * (r + g + b) + bias, with r, g, b in 0..1: bright pixels are the person.

    `spec` None writes a file without one. The arrays are (1, 3, 8, 16) -> (1, 1, 8, 16).
    """
    size = (8, 16) if spec is None else spec.size
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w", "b"], ["logits"])],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1, *size])],
        [
            numpy_helper.from_array(np.full((1, 3, 1, 1), weight, np.float32), "w"),
            numpy_helper.from_array(np.array([bias], np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if spec is not None:
        helper.set_model_props(model, {ONNX_KEY: spec.to_json()})
    save(model, path)
    return path
