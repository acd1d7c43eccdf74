"""What may be chosen of an exported file beyond its format: precision, types at its ends, the hardware it is for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from edgeseg.errors import UsageError

Format = Literal["tflite", "onnx"]
Precision = Literal["float32", "float16", "int8"]
Io = Literal["int8", "uint8", "float32"]
Target = Literal["x86", "arm", "tensorrt"]

OPSETS = range(18, 24)  # torch's exporter writes no older one; ONNX Runtime reads 18 since 1.14


@dataclass(frozen=True)
class Choices:
    """Of one export. Raises UsageError where they do not fit each other.

    precision      int8 computes in integers; float16 halves the weights
    io             type of image and logits of an int8 TFLite file
    target         of an int8 ONNX file: x86 has fast kernels for unsigned activations, Arm for signed ones; TensorRT takes
                   signed ones around zero only, floating-point biases, and floats at the ends
    opset          of ONNX files
    dynamic_batch  ONNX files take any number of images at once
    """

    precision: Precision = "float32"
    io: Io = "int8"
    target: Target = "x86"
    opset: int = OPSETS[0]
    dynamic_batch: bool = False

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise UsageError(f"--opset must be {OPSETS[0]} to {OPSETS[-1]}; got {self.opset}")
        if self.precision != "int8":
            for option, value, usual in (("--io", self.io, "int8"), ("--target", self.target, "x86")):
                if value != usual:
                    raise UsageError(f"{option} {value} is of int8 files, not of {self.precision} ones; add --int8")

    def check_formats(self, formats: Collection[Format]) -> None:
        """UsageError where a choice concerns no file of `formats`."""
        unused = [
            (self.io != "int8", f"--io {self.io}", "tflite"),
            (self.target != "x86", f"--target {self.target}", "onnx"),
            (self.opset != OPSETS[0], f"--opset {self.opset}", "onnx"),
            (self.dynamic_batch, "--dynamic-batch", "onnx"),
        ]
        for chosen, option, format in unused:
            if chosen and format not in formats:
                raise UsageError(f"{option} is of {format} files, and none is written; add --format {format}")

    def symmetric(self, format: Format) -> bool:
        """Whether the ranges of a file of `format` must lie evenly around zero."""
        return format == "onnx" and self.target == "tensorrt"


FLOAT32, INT8 = Choices(), Choices("int8")
