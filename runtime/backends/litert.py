"""TFLite files by LiteRT (ai-edge-litert), or by its former name tflite-runtime where that is what a board has."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.errors import MissingExtraError, ModelError
from edgeseg.runtime.arrays import Tensor
from edgeseg.runtime.quiet import quiet_stderr
from edgeseg.spec import TFLITE_MEMBER

PACKAGES = ("ai_edge_litert", "tflite_runtime")  # in order of preference


def installed() -> str | None:
    """The package that would be used, or None. Nothing is imported."""
    return next((name for name in PACKAGES if importlib.util.find_spec(name)), None)


class Litert:
    """See `backends.Backend`."""

    name = "litert"

    def __init__(self, path: Path, threads: int) -> None:
        interpreter_class = _interpreter_class()
        try:
            with quiet_stderr():  # it announces its delegates
                interpreter = interpreter_class(model_path=str(path), num_threads=threads)
                interpreter.allocate_tensors()
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"{path} is truncated or no valid TFLite model ({_first_line(error)}); export or copy it again"
            ) from None
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"{path} has {len(inputs)} inputs and {len(outputs)} outputs; edgeseg runs models with one of each"
            )
        self._interpreter = interpreter
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self.input_shape = tuple(int(n) for n in inputs[0]["shape"])
        self.input_dtype = np.dtype(inputs[0]["dtype"]).name
        self.output_dtype = np.dtype(outputs[0]["dtype"]).name
        self.spec_text = read_spec_text(path)

    def run(self, tensor: Tensor) -> Tensor:
        try:
            self._interpreter.set_tensor(self._input, tensor)
            self._interpreter.invoke()
            output: Tensor = self._interpreter.get_tensor(self._output)  # a copy
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"LiteRT could not run the model: {_first_line(error)}") from None
        return output


def read_spec_text(path: Path) -> bytes | None:
    """The Spec that is packed behind the flatbuffer, or None. The interpreter ignores those bytes."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(TFLITE_MEMBER)
    except (zipfile.BadZipFile, KeyError, OSError):
        return None


def _interpreter_class() -> Any:
    match installed():
        case "ai_edge_litert":
            from ai_edge_litert.interpreter import Interpreter
        case "tflite_runtime":
            from tflite_runtime.interpreter import Interpreter
        case _:
            raise MissingExtraError("ai-edge-litert", "litert", "running a TFLite model")
    return Interpreter


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
