"""A Spec goes into a model file and comes out as it was; the model stays what it was."""

import dataclasses
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeseg.errors import ModelError, OutputError, SpecError
from edgeseg.export.metadata import attach, read, with_spec
from edgeseg.runtime import open_session
from edgeseg.spec import TFLITE_MEMBER
from tests.runtime.tiny_models import ONNX_SPEC, TFLITE_SPEC, write_onnx, write_tflite

text = st.text(st.characters(codec="utf-8"), max_size=40)
changes = st.fixed_dictionaries(
    {},
    optional={
        "model": text,
        "licence": text,
        "data": text,
        "macs": st.none() | st.integers(0, 2**40),
        "accuracy": st.dictionaries(text, st.floats(0, 1), max_size=3),
        "mean": st.tuples(*[st.floats(-2, 2)] * 3),
        "classes": st.lists(text, min_size=2, max_size=5).map(tuple),
    },
)
WRITERS = {"onnx": (write_onnx, ONNX_SPEC), "tflite": (write_tflite, TFLITE_SPEC)}


@pytest.fixture(params=sorted(WRITERS))
def model(request, tmp_path):
    """(path of a file without a Spec, a Spec that fits it)"""
    write, spec = WRITERS[request.param]
    return write(tmp_path / f"m.{request.param}", None), spec


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=changes)
def test_what_is_attached_is_read(model, change):
    path, spec = model
    wanted = dataclasses.replace(spec, **change)
    attach(path, wanted)
    assert read(path) == wanted


def test_the_model_gives_the_same_with_and_without(model):
    path, spec = model
    attach(path, spec)
    frame = np.full((32, 32, 3), (0, 0, 200), np.uint8)
    before = open_session(path).logits(frame)
    attach(path, dataclasses.replace(spec, licence="x" * 10_000))
    assert np.array_equal(open_session(path).logits(frame), before)
    assert (before > 0).all()


def test_the_same_spec_gives_the_same_bytes_and_replaces_the_old_one(model):
    path, spec = model
    data = path.read_bytes()
    once = with_spec(data, spec)
    assert with_spec(with_spec(once, dataclasses.replace(spec, licence="other")), spec) == once


def test_other_associated_files_are_kept(tmp_path):
    path = write_tflite(tmp_path / "m.tflite", None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "background\nperson\n")
    attach(path, TFLITE_SPEC)
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == sorted([TFLITE_MEMBER, "labels.txt"])
        assert archive.read("labels.txt") == b"background\nperson\n"


def test_a_file_without_a_spec_is_told_how_to_get_one(model):
    with pytest.raises(SpecError, match=r"edgeseg spec .* --set"):
        read(model[0])


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x08nonsense", b"\x1c\x00\x00\x00TFL3"])
def test_what_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "m.bin"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        read(path)
    assert path.read_bytes() == content


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        attach(tmp_path / "none.onnx", ONNX_SPEC)


def test_a_file_that_cannot_be_replaced_is_left(model, monkeypatch):
    path, spec = model
    data = path.read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OutputError, match="No space left"):
        attach(path, spec)
    assert path.read_bytes() == data
    assert list(path.parent.iterdir()) == [path]
