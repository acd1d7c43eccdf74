"""The Spec inside a model file: read it, attach it, change it. Needs no torch: `edgeseg spec` works on a device.

ONNX has `metadata_props` for that. TFLite model metadata appends a zip archive of "associated files" to the flatbuffer;
interpreters map the file and ignore what is behind the flatbuffer.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from edgeseg.errors import MissingExtraError, ModelError, SpecError
from edgeseg.runtime.backends import open_backend
from edgeseg.spec import ONNX_KEY, TFLITE_MEMBER, Spec
from edgeseg.whole import written_whole

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold: the same Spec gives the same bytes at any time


def read(path: Path) -> Spec:
    """The Spec in a `.tflite` or `.onnx` file.

    Raises ModelError for a file that is missing, truncated or no model, SpecError where it carries no readable Spec.
    """
    text = open_backend(path).spec_text
    if text is None:
        raise SpecError(f"{path} carries no Spec; attach one with: edgeseg spec {path} --set KEY=VALUE")
    return Spec.from_json(text)


def attach(path: Path, spec: Spec) -> None:
    """Put `spec` into the model file `path`, in place of one that is there. The file is replaced whole.

    Raises ModelError for a file that is missing or no model, OutputError where it cannot be replaced.
    """
    try:
        data = with_spec(path.read_bytes(), spec)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); give a .tflite or .onnx file") from None
    with written_whole(path) as part:
        part.write_bytes(data)


def with_spec(data: bytes, spec: Spec) -> bytes:
    """The bytes of a model file with `spec` in it; the format is told by the content."""
    return _tflite_with_spec(data, spec) if data[4:8] == b"TFL3" else _onnx_with_spec(data, spec)


def _tflite_with_spec(data: bytes, spec: Spec) -> bytes:
    model, members = _split(data)
    members[TFLITE_MEMBER] = spec.to_json().encode()
    out = io.BytesIO(model)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _split(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The flatbuffer, and the files that are packed behind it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
            return data[: min((info.header_offset for info in archive.infolist()), default=archive.start_dir)], members
    except zipfile.BadZipFile:
        return data, {}


def _onnx_with_spec(data: bytes, spec: Spec) -> bytes:
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError("onnx", "export", "attaching a Spec to an ONNX file") from None
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        raise ModelError("the file is neither a TFLite nor an ONNX model, or is truncated; export or copy it again") from None
    kept = [entry for entry in model.metadata_props if entry.key != ONNX_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend([*kept, onnx.StringStringEntryProto(key=ONNX_KEY, value=spec.to_json())])
    return bytes(model.SerializeToString(deterministic=True))
