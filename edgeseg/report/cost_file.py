"""What a model file costs, told by its content: `cost_tflite.py` or `cost_onnx.py`."""

from __future__ import annotations

from pathlib import Path

from edgeseg.report.costs import Cost
from edgeseg.runtime.backends import format_of


def count_file(path: Path) -> Cost:
    """Cost of a `.tflite` or `.onnx` file. ModelError where it is neither or damaged, MissingExtraError without its reader."""
    from edgeseg.report.cost_onnx import count_onnx
    from edgeseg.report.cost_tflite import count_tflite

    counters = {"litert": count_tflite, "ort": count_onnx}
    return counters[format_of(path).backend](path)
