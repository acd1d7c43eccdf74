"""Model files to mattes on both backends, and every way in which a file can be wrong."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeseg import assets
from edgeseg.errors import EdgesegError, MissingExtraError, ModelError, ShapeError, SpecError, UsageError
from edgeseg.runtime import NullSession, open_session
from edgeseg.runtime.backends import litert
from edgeseg.spec import Spec, nearest_framing
from tests.runtime.tiny_models import ONNX_SPEC, TFLITE_SPEC, write_onnx, write_tflite

RED, GREEN, GREY = (0, 0, 255), (0, 255, 0), (90, 90, 90)  # logits 16, -16, 0


def halves(left: tuple[int, int, int], right: tuple[int, int, int], size: tuple[int, int] = (64, 96)) -> np.ndarray:
    frame = np.empty((*size, 3), np.uint8)
    frame[:, : size[1] // 2], frame[:, size[1] // 2 :] = left, right
    return frame


@pytest.fixture(params=["onnx", "tflite"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "m.onnx") if request.param == "onnx" else write_tflite(tmp_path / "m.tflite")


def test_both_backends_find_what_is_red(model: Path) -> None:
    session = open_session(model)
    frame = halves(RED, GREY)
    assert session.backend == {".onnx": "ort", ".tflite": "litert"}[model.suffix]
    assert session.path == model
    logits = session.logits(frame)
    assert logits.shape == (8, 8, 1)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits[:, :4], 16, atol=0.2)
    np.testing.assert_allclose(logits[:, 4:], 0, atol=0.2)
    matte = session.matte(frame)
    assert matte.shape == (8, 8)
    assert matte.dtype == np.float32
    np.testing.assert_allclose(matte[:, :4], 1, atol=1e-3)
    np.testing.assert_allclose(matte[:, 4:], 0.5, atol=0.05)
    assert (session.class_ids(halves(RED, GREEN)) == [[1] * 4 + [0] * 4] * 8).all()


def test_matte_is_run_of_prepare(model: Path) -> None:
    session = open_session(model)
    frame = halves(RED, GREEN)
    raw = session.run(session.prepare(frame))
    assert raw.dtype == session.spec.output_dtype
    np.testing.assert_array_equal(session.matte_of(raw), session.matte(frame))
    np.testing.assert_allclose(1 / (1 + np.exp(-session.decode(raw)[..., 0])), session.matte(frame), atol=1e-6)


def test_a_result_is_not_overwritten_by_the_next(model: Path) -> None:
    session = open_session(model)
    first = session.run(session.prepare(halves(RED, RED)))
    kept = first.copy()
    session.run(session.prepare(halves(GREEN, GREEN)))
    np.testing.assert_array_equal(first, kept)


def test_the_file_is_recognised_by_its_content_not_its_name(model: Path) -> None:
    renamed = model.with_name("model.bin")
    model.rename(renamed)
    assert open_session(renamed).matte(halves(RED, RED)).min() > 0.99


@pytest.mark.parametrize(
    ("output", "weights", "person", "expected"),
    [
        ("logits", [[0, 0, 0], [2, 0, 0]], 1, 1 / (1 + np.exp(-2))),  # softmax of (0, 2)
        ("logits", [[0, 0, 0], [2, 0, 0], [2, 0, 0]], 2, np.exp(2) / (1 + 2 * np.exp(2))),
        ("logits", [[2, 0, 0]], 0, 1 - 1 / (1 + np.exp(-2))),
        ("probability", [[0.25, 0, 0]], 1, 0.25),
        ("probability", [[0.75, 0, 0], [0.25, 0, 0]], 1, 0.25),
        ("class_ids", [[1, 0, 0]], 1, 1.0),
        ("class_ids", [[2, 0, 0]], 1, 0.0),
    ],
)
def test_every_kind_of_output_becomes_the_same_matte(
    tmp_path: Path, output: str, weights: list[list[float]], person: int, expected: float
) -> None:
    classes = ("background", "person") if len(weights) < 3 else ("background", "cat", "person")
    spec = dataclasses.replace(ONNX_SPEC, output=output, classes=classes, person_class=person)
    session = open_session(write_onnx(tmp_path / "m.onnx", spec, weights))
    np.testing.assert_allclose(session.matte(halves(RED, RED)), expected, atol=1e-6)


def test_a_model_without_people_gives_classes_but_no_matte(tmp_path: Path) -> None:
    spec = dataclasses.replace(ONNX_SPEC, classes=("sky", "road", "tree"), person_class=None)
    session = open_session(write_onnx(tmp_path / "m.onnx", spec, [[0, 0, 1], [1, 0, 0], [0, 1, 0]]))
    assert np.unique(session.class_ids(halves(RED, RED))).tolist() == [1]
    assert np.unique(session.class_ids(halves(GREEN, GREEN))).tolist() == [2]
    with pytest.raises(ModelError, match="no person class"):
        session.matte(halves(RED, RED))


def _text(path: Path) -> Path:
    path.write_text("not a model at all")
    return path


def _cut(path: Path, keep: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def _wrong_size(spec: Spec) -> Spec:
    return dataclasses.replace(spec, size=(64, 64))


def _wrong_output(spec: Spec) -> Spec:
    return dataclasses.replace(spec, output_dtype="uint8")


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda d: d / "none.tflite", ModelError, "does not exist"),
        (lambda d: d, ModelError, "is a folder"),
        (lambda d: _text(d / "a.tflite"), ModelError, "neither a TFLite nor an ONNX"),
        (lambda d: _cut(write_tflite(d / "a.tflite", None), 0.5), ModelError, "truncated"),
        (lambda d: _cut(write_tflite(d / "a.tflite"), 0.9), SpecError, "edgeseg spec"),
        (lambda d: _cut(write_onnx(d / "a.onnx"), 0.5), ModelError, "truncated"),
        (lambda d: write_tflite(d / "a.tflite", None), SpecError, "edgeseg spec"),
        (lambda d: write_onnx(d / "a.onnx", None), SpecError, "edgeseg spec"),
        (lambda d: write_tflite(d / "a.tflite", _wrong_size(TFLITE_SPEC)), SpecError, "the model takes"),
        (lambda d: write_onnx(d / "a.onnx", _wrong_size(ONNX_SPEC)), SpecError, "the model takes"),
        (
            lambda d: write_tflite(d / "a.tflite", dataclasses.replace(TFLITE_SPEC, output_dtype="uint8")),
            SpecError,
            "gives int8",
        ),
    ],
)
def test_a_bad_file_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], Path], error: type[EdgesegError], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        open_session(make(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error"),
    [({"backend": "ort"}, UsageError), ({"backend": "tensorrt"}, UsageError), ({"threads": 0}, UsageError)],
)
def test_a_bad_option_is_refused(tmp_path: Path, options: dict[str, object], error: type[EdgesegError]) -> None:
    with pytest.raises(error):
        open_session(write_tflite(tmp_path / "a.tflite"), **options)  # type: ignore[arg-type]


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"edgeseg\[onnx\]"):
        open_session(write_onnx(tmp_path / "a.onnx"))
    monkeypatch.setattr(litert, "installed", lambda: None)
    with pytest.raises(MissingExtraError, match="ai-edge-litert"):
        open_session(write_tflite(tmp_path / "a.tflite"))


def test_a_name_takes_the_int8_tflite_or_onnx_where_there_is_no_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"tflite": write_tflite(tmp_path / "a.tflite"), "onnx": write_onnx(tmp_path / "a.onnx")}
    monkeypatch.setattr(assets, "find", lambda name, format, precision="int8": files[format])
    assert open_session("red").backend == "litert"
    assert open_session("red", backend="ort").backend == "ort"
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in litert.PACKAGES else real(name))
    assert open_session("red").backend == "ort"


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ModelError, match="no trained model named 'nobody'"):
        open_session("nobody")


@pytest.mark.parametrize("frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_what_is_no_frame_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="must be"):
        NullSession().prepare(frame)


def test_the_null_session_has_a_person_in_the_middle() -> None:
    matte = NullSession().matte(np.zeros((100, 200, 3), np.uint8))
    assert matte.shape == (64, 64)
    assert matte[38, 32] > 0.99
    assert matte[0].max() < 0.01
    assert matte[:, [0, -1]].max() < 0.01


@pytest.mark.parametrize(
    ("frame_hw", "expected"),
    [
        ((720, 1280), (160, 256)),  # 16:9
        ((480, 640), (160, 256)),  # 4:3
        ((1280, 720), (256, 160)),
        ((500, 500), (256, 160)),  # as far from the one as from the other: the upright one, which has more height
        ((1, 3000), (160, 256)),
    ],
)
def test_the_framing_nearest_to_a_frame(frame_hw: tuple[int, int], expected: tuple[int, int]) -> None:
    assert nearest_framing([(160, 256), (256, 160)], frame_hw) == expected
    assert nearest_framing([(256, 160), (160, 256)], frame_hw) == expected


def test_a_named_model_opens_the_framing_that_a_frame_calls_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide, tall = write_onnx(tmp_path / "wide.onnx"), write_onnx(tmp_path / "tall.onnx")
    # The tiny network takes any size in truth; its file says 32 x 32, and here 64 x 32 stands for the upright framing.
    monkeypatch.setattr(assets, "find", lambda name, format, precision="int8": wide)
    monkeypatch.setattr(assets, "framings_of", lambda path: {(64, 32): tall} if path == wide else {})
    session = open_session("person", backend="ort")
    assert session.path == wide
    assert session.for_frame(np.zeros((90, 160, 3), np.uint8)) is session
    upright = session.for_frame(np.zeros((160, 90, 3), np.uint8))
    assert upright.path == tall
    assert session.for_frame(np.zeros((320, 180, 3), np.uint8)) is upright  # opened once
    chosen = open_session(wide)  # a file that somebody names is that file, for every frame
    assert chosen.for_frame(np.zeros((160, 90, 3), np.uint8)) is chosen
