"""The inference backends, each a thin face over one package, and the one interface they share.

A file's format is told by its first bytes, never by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from edgeseg.errors import ModelError, UsageError
from edgeseg.runtime.arrays import Tensor
from edgeseg.runtime.backends import litert, ort

BackendName = Literal["auto", "litert", "ort"]


class Backend(Protocol):
    """A loaded model file with one input and one output. Not safe for two threads at once."""

    @property
    def name(self) -> str: ...
    @property
    def input_shape(self) -> tuple[int, ...]:
        """0 stands for an axis that the file leaves open."""

    @property
    def input_dtype(self) -> str:
        """As numpy names it."""

    @property
    def output_dtype(self) -> str:
        """As numpy names it."""

    @property
    def spec_text(self) -> str | bytes | None:
        """The Spec in the file, as JSON."""

    def run(self, tensor: Tensor) -> Tensor:
        """The output for `tensor`; the caller owns the result. ModelError where the runtime refuses."""


@dataclass(frozen=True)
class Format:
    """A kind of model file and the backend that runs it."""

    name: str
    backend: str
    recognises: Callable[[bytes], bool]
    open: Callable[[Path, int], Backend]


FORMATS = (
    Format("TFLite", "litert", lambda head: head[4:8] == b"TFL3", litert.Litert),
    # A protobuf has no magic. An ONNX ModelProto starts with field 1 (ir_version), a small varint.
    Format("ONNX", "ort", lambda head: len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 0x40, ort.Ort),
)


def open_backend(path: Path, backend: str = "auto", threads: int = 1) -> Backend:
    """Load a model file with the backend that its content asks for.

    Raises ModelError for a file that is no model, UsageError for a backend that does not run this format and
    MissingExtraError where its package is not installed.
    """
    known = [f.backend for f in FORMATS]
    if backend != "auto" and backend not in known:
        raise UsageError(f"no backend named {backend!r}; there are: auto, {', '.join(known)}")
    if threads < 1:
        raise UsageError(f"threads must be 1 or more, got {threads}")
    format = format_of(path)
    if backend not in ("auto", format.backend):
        raise UsageError(f"{path} is an {format.name} file, which backend {backend} does not run; use {format.backend}")
    return format.open(path, threads)


def format_of(path: Path) -> Format:
    """What kind of model file `path` is, by its content. ModelError where it is none."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise ModelError(
            f"model {path} cannot be read ({error.strerror}); give a .tflite or .onnx file, or a model's name"
        ) from None
    for format in FORMATS:
        if format.recognises(head):
            return format
    raise ModelError(f"{path} is neither a TFLite nor an ONNX model (or is damaged); make one with: edgeseg export")
