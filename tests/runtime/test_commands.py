"""The commands segment, blur and doctor, and the runtime's imports, from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

import edgeseg.runtime
from edgeseg.cli import main
from edgeseg.runtime import Shot, VideoSink
from edgeseg.runtime.picture import write_picture
from tests.runtime.tiny_models import write_tflite


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, a picture, a folder of two pictures and a video; it is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    write_tflite(Path("red.tflite"))
    frame = np.full((60, 80, 3), (40, 200, 40), np.uint8)
    frame[20:50, 30:60] = (0, 0, 255)
    Path("folder").mkdir()
    for name in ("me.png", "folder/a.png", "folder/b.jpg"):
        write_picture(Path(name), frame)
    with VideoSink(Path("clip.mp4"), (60, 80), 30) as sink:
        for index in range(5):
            sink.write(Shot(frame, index / 30))
    Path("text.jpg").write_text("not a picture")
    Path("empty").mkdir()
    return tmp_path


def edgeseg_(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_segment_writes_mattes_of_the_pictures_size(here: Path) -> None:
    result = edgeseg_("segment", "me.png", "folder", "-o", "out/deep", "--model", "red.tflite", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["kind"] == "matte"
    assert [row["output"] for row in report["files"]] == ["out/deep/me.png", "out/deep/a.png", "out/deep/b.png"]
    matte = cv2.imread("out/deep/me.png", cv2.IMREAD_UNCHANGED)
    assert matte.shape == (60, 80)
    assert matte[35, 45] == 255
    assert matte[5, 5] == 0


@pytest.mark.parametrize(
    ("source", "output", "made"),
    [
        ("me.png", "out.png", ["out.png"]),
        ("me.png", "empty", ["empty/me.png"]),
        ("folder", "outs", ["outs/a.png", "outs/b.png"]),
        ("clip.mp4", "out.mp4", ["out.mp4"]),
    ],
)
def test_blur_makes_of_everything_the_same_kind(here: Path, source: str, output: str, made: list[str]) -> None:
    arguments = ("blur", "--input", source, "--output", output, "--model", "red.tflite", "--background", "#0000ff", "--json")
    result = edgeseg_(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == "blur\n"  # in place of the progress bar
    report = json.loads(result.stdout)
    assert set(report) >= {"frames", "dropped", "fps", "size_hw", "stages_ms", "model"}
    assert set(report["stages_ms"]) == {"capture", "infer", "refine", "composite", "sink"}
    assert all(set(stage) == {"median", "p95"} for stage in report["stages_ms"].values())
    assert report["size_hw"] == [60, 80]
    for name in made:
        assert Path(name).is_file()
        if name.endswith("png"):
            picture = cv2.imread(name)
            np.testing.assert_allclose(picture[35, 45], (0, 0, 255), atol=3)
            np.testing.assert_allclose(picture[3, 3], (255, 0, 0), atol=3)


@pytest.mark.parametrize(
    "options",
    [
        "--blur bokeh --strength 1",
        "--blur box",
        "-b #0000ff --light-wrap 0.5",
        "-b green --edges bilateral",
        "--edges plain --opening 1 --closing 2 --growth -1",
        "--keyframes every --smooth off",
        "--keyframes 3 --smooth ema --largest",
        "--sync low-latency",
    ],
)
def test_blur_in_every_manner(here: Path, options: str) -> None:
    result = edgeseg_("blur", "-i", "clip.mp4", "-o", "out.mp4", "--model", "red.tflite", "--json", *options.split())
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["frames"] == 5
    assert report["failures"] == {}
    assert report["sync"] == ("low-latency" if "--sync" in options else "exact")
    assert set(report["lag_ms"]) == {"median", "p95"}
    assert 0 < report["inferred"] <= 1


def test_blur_writes_the_person_alone(here: Path) -> None:
    for source, output in (("clip.mp4", "out.webm"), ("me.png", "out.png")):
        result = edgeseg_("blur", "-i", source, "-o", output, "-b", "transparent", "--model", "red.tflite")
        assert result.exit_code == 0, result.output
        assert Path(output).stat().st_size > 100
    assert cv2.imread("out.png", cv2.IMREAD_UNCHANGED)[[35, 3], [45, 3], 3].tolist() == [255, 0]


def test_the_live_line_is_for_terminals_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeseg.commands.blur_options import shown_progress
    from edgeseg.runtime import StageTimes

    written: list[str] = []
    monkeypatch.setattr("click.echo", lambda text, **how: written.append(text))
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr", type("Stream", (), {"isatty": lambda self, is_one=terminal: is_one})())
        monkeypatch.setenv("COLUMNS", "40")
        times = StageTimes()
        with times.of("infer"):
            pass
        with shown_progress(None, times) as progress:
            progress(1, None)
            progress(2, None)  # too soon for another
        if not terminal:
            assert written == []
    line, erased = written
    assert line.startswith("\r\x1b[K0.0 fps  dropped 0  infer 0.")
    assert len(line) <= 4 + 39
    assert erased == "\r\x1b[K"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["blur", "-i", "me.png", "--model", "red.tflite", "-o", "o.png", "--keyframes", "seldom"], 2, "auto, every"),
        (["blur", "-i", "me.png", "--model", "red.tflite", "-o", "o.png", "--sync", "fast"], 2, "low-latency"),
        (["blur", "-i", "me.png", "--model", "red.tflite", "-o", "o.png", "--growth", "99"], 2, "-20<=x<=20"),
        (["blur", "-i", "clip.mp4", "--model", "red.tflite", "-b", "transparent", "-o", "o.mp4"], 1, ".webm"),
        (["segment", "me.png", "-o", "o", "--model", "none.tflite"], 1, "does not exist"),
        (["segment", "me.png", "-o", "o", "--model", "nobody"], 1, "no trained model named 'nobody'"),
        (["segment", "none.png", "-o", "o", "--model", "red.tflite"], 1, "does not exist"),
        (["segment", "text.jpg", "-o", "o", "--model", "red.tflite"], 1, "not a picture"),
        (["segment", "empty", "-o", "o", "--model", "red.tflite"], 1, "holds no pictures"),
        (["segment", "me.png", "-o", "text.jpg/o", "--model", "red.tflite"], 1, "cannot be written"),
        (["segment", "-o", "o"], 2, "Missing argument"),
        (["blur", "--webcam", "77", "--model", "red.tflite", "-o", "o.mp4"], 1, "camera 77 cannot be opened"),
        (["blur", "--webcam", "no such camera", "--model", "red.tflite", "-o", "null"], 1, "is no camera here"),
        (["blur", "--webcam", "picamera2:x", "--model", "red.tflite"], 1, "number of a camera module"),
        (["blur", "--webcam", "synthetic", "--model", "red.tflite"], 1, "--output"),
        (["blur", "--webcam", "synthetic", "--model", "red.tflite", "-o", "http://0.0.0.0:80"], 1, "set a token"),
        (["blur", "--webcam", "synthetic", "--model", "red.tflite", "-o", "o.png"], 1, "must be one too"),
        (["blur", "-i", "rtsp://127.0.0.1:9/x", "--model", "red.tflite", "-o", "null"], 1, "cannot be opened"),
        (["blur", "-i", "me.png", "--config", "none.toml", "-o", "o.png"], 1, "cannot be read"),
        (["blur", "-i", "me.png", "--config", "text.jpg", "-o", "o.png"], 1, "is no TOML"),
        (["blur", "-i", "me.png", "--threads", "many", "-o", "o.png"], 2, "not a valid integer"),
        (["blur", "-i", "me.png", "--threads", "0", "-o", "o.png"], 2, "x>=1"),
        (["blur", "--webcam", "synthetic", "--size", "720", "-o", "null"], 2, "height x width"),
        (["blur", "--webcam", "synthetic", "--fps", "0", "-o", "null"], 2, "1<=x<=240"),
        (["blur", "--webcam", "--input", "me.png"], 1, "choose one"),
        (["blur", "-i", "me.png", "--model", "red.tflite"], 1, "--output"),
        (["blur", "-i", "text.jpg", "--model", "red.tflite", "-o", "o.png"], 1, "no picture or video"),
        (["blur", "-i", "empty", "--model", "red.tflite", "-o", "o"], 1, "holds no pictures"),
        (["blur", "-i", "me.png", "--model", "red.tflite", "-o", "text.jpg/o.png"], 1, "cannot be written"),
        (["blur", "-i", "me.png", "--model", "red.tflite", "-b", "#12", "-o", "o.png"], 1, "#rrggbb"),
        (["blur", "-i", "me.png", "--model", "text.jpg", "-o", "o.png"], 1, "neither a TFLite nor an ONNX"),
        (["blur", "-i", "me.png", "--strength", "2", "-o", "o.png"], 2, "strength"),
    ],
)
def test_every_mistake_is_one_line_and_leaves_nothing_behind(here: Path, arguments: list[str], code: int, says: str) -> None:
    before = {path for path in here.rglob("*") if path.is_file()}
    result = edgeseg_(*arguments)
    assert result.exit_code == code, result.output
    assert says in result.stderr
    assert result.stdout == ""
    if code == 1:
        assert [line.startswith("edgeseg: ") for line in result.stderr.splitlines() if line.strip() != "segment"] == [True]
    assert {path for path in here.rglob("*") if path.is_file()} == before


def test_doctor_is_honest_about_an_altered_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from edgeseg import assets

    monkeypatch.setattr(assets, "trained", lambda: {"person": SimpleNamespace(sha256={"p.tflite": "0"})})
    monkeypatch.setattr(assets, "verify", lambda asset: ["p.tflite"])
    result = edgeseg_("doctor", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert {"name", "verdict", "detail"} == set(report["checks"][0])
    assert [c["verdict"] for c in report["checks"] if c["name"] == "model person"] == ["bad"]
    assert report["versions"]["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("found", "bad"),
    [
        ({"tflite-runtime": "2.14.0"}, ["tflite-runtime with numpy"]),
        ({"tflite-runtime": "2.14.0", "ai-edge-litert": "2.3"}, []),
        ({"opencv-python": "5", "opencv-python-headless": "5"}, ["opencv"]),
    ],
)
def test_doctor_knows_the_bad_pairs(monkeypatch: pytest.MonkeyPatch, found: dict[str, str], bad: list[str]) -> None:
    from edgeseg.runtime.doctor import diagnosis

    monkeypatch.setattr(diagnosis, "versions", lambda: found)
    monkeypatch.setattr(np, "__version__", "2.4.0")
    assert [check.name for check in diagnosis._pairs() if check.verdict == "bad"] == bad


def test_the_runtime_imports_neither_torch_nor_a_backend_until_asked() -> None:
    code = "import sys, edgeseg.runtime; print(*[m for m in sys.modules if '.' not in m])"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert "cv2" in loaded
    assert not loaded & {"torch", "click", "av", "onnxruntime", "ai_edge_litert", "tflite_runtime", "tkinter", "onnx"}


def test_the_public_names_are_what_they_are() -> None:
    assert edgeseg.runtime.__all__ == sorted(edgeseg.runtime.__all__)
    assert all(hasattr(edgeseg.runtime, name) for name in edgeseg.runtime.__all__)
