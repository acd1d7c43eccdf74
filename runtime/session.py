"""A model file, ready to run: frame -> tensor -> logits -> matte. What it needs to know it reads from the file's Spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeseg import assets
from edgeseg.errors import ModelError, ShapeError, SpecError
from edgeseg.runtime import tensors
from edgeseg.runtime.arrays import Frame, Matte, Tensor
from edgeseg.runtime.backends import Backend, BackendName, litert, open_backend
from edgeseg.spec import Spec, nearest_framing


def open_session(model: str | Path = assets.DEFAULT, *, backend: BackendName = "auto", threads: int = 1) -> Session:
    """Open a trained model by its name, or a `.tflite` or `.onnx` file by its path.

    backend  "litert" runs TFLite, "ort" runs ONNX; "auto" goes by the file, and for a name takes the int8 TFLite
             where an interpreter for it is installed
    threads  of the inference; more than one makes most small networks slower

    Raises ModelError (unknown, missing or damaged), SpecError (no usable Spec inside), UsageError, MissingExtraError.
    """

    def opened(path: Path) -> Session:
        file = open_backend(path, backend, threads)
        if file.spec_text is None:
            raise SpecError(f"{path} carries no Spec (or is truncated); attach one with: edgeseg spec {path} --set KEY=VALUE")
        return Session(Spec.from_json(file.spec_text), file, path)

    session = opened(_find(model, backend))
    if session.path != Path(model):  # a name, not a file that somebody chose
        session.framings = Framings(session, assets.framings_of(session.path), opened) if session.path else None
    return session


class Session:
    """One model file on one backend. `matte(frame)` is what most callers want; the rest are its steps.

    Not safe for two threads at once.
    """

    def __init__(self, spec: Spec, backend: Backend, path: Path | None = None) -> None:
        self.spec = spec
        self.backend = backend.name
        self.path = path
        self.framings: Framings | None = None
        self._backend = backend
        expected = (1, *spec.size, 3) if spec.layout == "NHWC" else (1, 3, *spec.size)
        # 0 is an axis that the file leaves open.
        fits = len(backend.input_shape) == 4 and all(n in (0, e) for n, e in zip(backend.input_shape, expected, strict=True))
        if not fits or backend.input_dtype != spec.input_dtype:
            raise SpecError(
                f"the Spec of {path} says input {expected} {spec.input_dtype}, the model takes {backend.input_shape} "
                f"{backend.input_dtype}; mend it with: edgeseg spec FILE --set KEY=VALUE"
            )
        if backend.output_dtype != spec.output_dtype and spec.output != "class_ids":  # ids come in any kind of integer
            raise SpecError(
                f"the Spec of {path} says output {spec.output_dtype}, the model gives {backend.output_dtype}; "
                "mend it with: edgeseg spec FILE --set KEY=VALUE"
            )
        self._encode = tensors.Encoder(spec)
        self._byte_matte = _byte_matte(spec)

    def for_frame(self, frame: Frame) -> Session:
        """This session, or that of the same trained model whose input has more nearly the shape of `frame` (h, w, ...)."""
        return self if self.framings is None else self.framings.nearest((frame.shape[0], frame.shape[1]))

    def prepare(self, frame: Frame) -> Tensor:
        """The input tensor of `frame` (h, w, 3) uint8 BGR of any size: stretched, in the model's colours, normalised,
        quantised; (1, H, W, 3) or (1, 3, H, W) in the model's dtype."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise ShapeError(f"a frame must be (h, w, 3) uint8 BGR, got {frame.shape} {frame.dtype}")
        return self._encode(frame)

    def run(self, tensor: Tensor) -> Tensor:
        """One inference: the raw output for a tensor from `prepare`, in the model's own dtype and layout."""
        return self._backend.run(tensor)

    def decode(self, tensor: Tensor) -> npt.NDArray[np.float32]:
        """The raw output as (h', w', c) float32, dequantised; what the numbers mean is `spec.output`."""
        return tensors.decode(tensor, self.spec)

    def logits(self, frame: Frame) -> npt.NDArray[np.float32]:
        """(h', w', c) float32 for `frame`, at `spec.output_size`: logits, or what else `spec.output` says."""
        return self.decode(self.run(self.prepare(frame)))

    def class_ids(self, frame: Frame) -> npt.NDArray[np.int32]:
        """(h', w') the most likely class of each output pixel."""
        return self.ids_of(self.logits(frame))

    def ids_of(self, output: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """(h, w) class ids of (h, w, c) logits or probabilities, enlarged or not."""
        if self.spec.output == "class_ids":
            return output[..., 0].astype(np.int32)
        if output.shape[2] == 1:
            return (output[..., 0] > (0.0 if self.spec.output == "logits" else 0.5)).astype(np.int32)
        ids: npt.NDArray[np.int32] = output.argmax(axis=2).astype(np.int32)
        return ids

    def matte(self, frame: Frame) -> Matte:
        """(h', w') float32 in 0..1 at `spec.output_size`: how much of each output pixel is person."""
        return self.matte_of(self.run(self.prepare(frame)))

    def matte_of(self, tensor: Tensor) -> Matte:
        """The matte in a raw output. ModelError where the model knows no person."""
        person = self.spec.person_class
        if person is None:
            raise ModelError(f"model {self.spec.model} has no person class; use a person model, or: edgeseg segment")
        height, width = self.spec.output_size
        if self._byte_matte is not None and tensor.size == height * width:  # one channel
            matte: Matte = self._byte_matte.take(tensor.reshape(height, width).view(np.uint8))
            return matte
        return person_share(self.decode(tensor), self.spec)


class Framings:
    """The files of one trained model for frames of different shapes; each is opened when the first such frame comes."""

    def __init__(self, main: Session, others: dict[tuple[int, int], Path], opened: Callable[[Path], Session]) -> None:
        self._sessions = {main.spec.size: main}
        self._others, self._opened = others, opened
        self._last: tuple[tuple[int, int], Session] | None = None  # a video asks for the same one again and again

    def nearest(self, size_hw: tuple[int, int]) -> Session:
        """The session for frames of `size_hw` (height, width)."""
        if self._last is not None and self._last[0] == size_hw:
            return self._last[1]
        chosen = nearest_framing([*self._sessions, *(size for size in self._others if size not in self._sessions)], size_hw)
        if chosen not in self._sessions:
            self._sessions[chosen] = self._opened(self._others[chosen])
        self._last = size_hw, self._sessions[chosen]
        return self._sessions[chosen]


def person_share(output: npt.NDArray[np.float32], spec: Spec) -> Matte:
    """(h, w) float32 in 0..1, how much of each pixel is person, of real output (h, w, c) as `spec` describes it."""
    person = spec.person_class
    if spec.output == "class_ids":
        chosen: Matte = (output[..., 0] == person).astype(np.float32)
        return chosen
    if output.shape[2] == 1:  # the one channel is that of classes[1]
        one = output[..., 0] if spec.output == "probability" else tensors.sigmoid(output[..., 0])
        return one if person == 1 else 1 - one
    if spec.output == "probability":
        return output[..., person]
    output = np.exp(output - output.max(axis=2, keepdims=True))
    share: Matte = output[..., person] / output.sum(axis=2)
    return share


def _byte_matte(spec: Spec) -> Matte | None:
    """(256,) the matte of every value that a one-channel 8-bit output can take, by its bits; None where it is not one."""
    if spec.output_dtype == "float32" or spec.output == "class_ids" or spec.person_class is None:
        return None
    real = tensors.dequantise(np.arange(256, dtype=np.uint8).view(spec.output_dtype), spec.output_quantisation)
    one = tensors.sigmoid(real) if spec.output == "logits" else real
    return one if spec.person_class == 1 else 1 - one


def _find(model: str | Path, backend: str) -> Path:
    path = Path(model)
    if path.is_file():
        return path
    if isinstance(model, Path) or path.suffix or len(path.parts) != 1:
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ModelError(f"model file {path} {what}; give a .tflite or .onnx file, or a name from: edgeseg models")
    if backend == "ort" or (backend == "auto" and litert.installed() is None):
        return assets.find(model, "onnx")
    return assets.find(model, "tflite")
