"""ONNX files by ONNX Runtime, on the CPU (or on a Jetson's GPU where that build of it is installed)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from edgeseg.errors import MissingExtraError, ModelError
from edgeseg.runtime.arrays import Tensor
from edgeseg.spec import ONNX_KEY

# TensorRT is left out although builds offer it: it compiles for minutes on the first run, in silence.
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
DTYPES = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8"}


def installed() -> str | None:
    """The package that would be used, or None. Nothing is imported."""
    return "onnxruntime" if importlib.util.find_spec("onnxruntime") else None


class Ort:
    """See `backends.Backend`."""

    name = "ort"

    def __init__(self, path: Path, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError("onnxruntime", "onnx", "running an ONNX model") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.qdqisint8allowed", "1")  # files for Arm: elsewhere they would run in float
        options.log_severity_level = 3  # errors come back as exceptions; warnings are not for our users
        providers = [p for p in PROVIDERS if p in onnxruntime.get_available_providers()]
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # its exceptions share no public base but Exception
            raise ModelError(
                f"{path} is truncated or no valid ONNX model ({_first_line(error)}); export or copy it again"
            ) from None
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"{path} has {len(inputs)} inputs and {len(outputs)} outputs; edgeseg runs models with one of each"
            )
        self._session = session
        self._input, self._output = inputs[0].name, outputs[0].name
        # A free axis has a name in place of a number; a free batch is run as 1, other free axes show as 0.
        self.input_shape = tuple(n if isinstance(n, int) else int(axis == 0) for axis, n in enumerate(inputs[0].shape))
        self.input_dtype = DTYPES.get(inputs[0].type, inputs[0].type)
        self.output_dtype = DTYPES.get(outputs[0].type, outputs[0].type)
        self.spec_text: str | None = session.get_modelmeta().custom_metadata_map.get(ONNX_KEY)

    def run(self, tensor: Tensor) -> Tensor:
        try:
            output: Tensor = self._session.run([self._output], {self._input: tensor})[0]
        except Exception as error:
            raise ModelError(f"ONNX Runtime could not run the model: {_first_line(error)}") from None
        return output


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
