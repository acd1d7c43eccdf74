"""A live run as a whole: outputs, keys, the file of settings, the release of the camera; and the command itself."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgeseg.cli import main
from edgeseg.runtime import Blur, Null, NullSession, Shot, SyntheticCamera, open_source, run
from edgeseg.runtime.capture.live import Backoff, LiveSource
from edgeseg.runtime.control.controls import Settings
from edgeseg.runtime.control.panel import Panel, beside
from edgeseg.runtime.picture import write_picture
from tests.runtime.capture.cameras import Port, ScriptedCamera, picture
from tests.runtime.tiny_models import write_tflite

ROOT = Path(__file__).parent.parent.parent


def test_a_background_is_changed_between_two_frames(tmp_path: Path) -> None:
    write_picture(tmp_path / "red.png", np.full((9, 16, 3), (0, 0, 255), np.uint8))
    corners: list[list[int]] = []

    class Sink(Null):
        def write(self, shot: Shot) -> bool:
            corners.append(shot.frame[2, 2].tolist())
            return True

    camera = SyntheticCamera((90, 160), frames=12)
    changes: dict[int, dict[str, str]] = {2: {"background": str(tmp_path / "red.png")}, 3: {"background": "none.png"}}
    with Blur(NullSession(), background="#00ff00") as blur, Panel(blur, camera, Settings("#00ff00")) as panel:
        run(camera, blur, Sink(), lambda done, _: panel.controls.change(**changes.get(done, {})))
    green, red = [0, 255, 0], [0, 0, 255]
    first_red = corners.index(red)
    assert corners == [green] * first_red + [red] * (12 - first_red)
    assert 2 <= first_red <= 6  # frames that were on their way already keep the old one


def test_the_camera_is_released_when_no_output_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeseg.runtime.capture.live.RELEASE_AFTER_S", 0.05)
    monkeypatch.setattr("edgeseg.runtime.capture.live.SLICE_S", 0.01)
    port = Port(lambda: ScriptedCamera(picture(9) for _ in itertools.count()))
    source = LiveSource(port, backoff=Backoff(0.01, 0.04))
    panel = Panel(Blur(NullSession()), source, Settings())
    with source, panel, panel.outputs(["http://127.0.0.1:0"]) as sink:
        end_s = time.monotonic() + 10
        for shot in source:
            sink.write(shot)
            if shot.notice:
                break
            assert time.monotonic() < end_s
        assert shot.notice == "paused"
        assert port.opened[0].closed


def test_the_mirror_reaches_the_camera() -> None:
    source = LiveSource(Port(RuntimeError("never opened")))
    panel = Panel(Blur(NullSession()), source, Settings())
    assert panel.controls.press("r")
    assert source.mirror


def test_the_stages_are_looked_at_where_they_can_be() -> None:
    watched: list[object] = []

    class Staged(Blur):
        def after_composite(self, stage: object) -> object:
            watched.append(stage)
            return stage

    panel = Panel(Staged(NullSession()), SyntheticCamera(), Settings())
    assert watched == [panel.views.remember]


def test_the_pictures_beside_a_background_are_the_next_ones(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_picture(tmp_path / name, np.zeros((2, 2, 3), np.uint8))
    (tmp_path / "notes.txt").touch()
    assert beside(str(tmp_path / "b.png")) == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert beside(str(tmp_path / "notes.txt")) == beside("blur") == beside("#00ff00") == []


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_tflite(Path("red.tflite"))
    write_picture(Path("me.png"), np.full((60, 80, 3), (40, 200, 40), np.uint8))
    return tmp_path


def test_the_file_gives_options_and_the_command_line_wins(here: Path) -> None:
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "edgeseg"
    folder.mkdir()
    (folder / "blur.toml").write_text('model = "red.tflite"\nbackground = "#0000ff"\noutput = "a.png"\nwebcam = 3\nthreads = 2')
    for options, made, blue in (((), "a.png", 255), (("-o", "b.png", "-b", "#000000"), "b.png", 0)):
        result = CliRunner().invoke(main, ["blur", "-i", "me.png", *options], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        with open_source(made) as source:
            assert next(iter(source)).frame[3, 3].tolist() == [blue, 0, 0]


def test_several_outputs_at_once(here: Path) -> None:
    outputs = ["-o", "a.png", "-o", "null", "-o", "b.jpg"]
    result = CliRunner().invoke(main, ["blur", "-i", "me.png", "--model", "red.tflite", *outputs], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert Path("a.png").is_file()
    assert Path("b.jpg").is_file()


def _until(look: Callable[[], Any]) -> Any:
    """What `look` finds, as soon as it finds something."""
    end_s = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < end_s, "what was waited for did not come"
        time.sleep(0.05)
    return found


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_live_run_is_steered_by_its_file_and_stopped_in_order(here: Path, stop: signal.Signals) -> None:
    Path("blur.toml").write_text('background = "#0000ff"\n')
    options = f"--webcam synthetic --size 180x320 --config {here}/blur.toml --model {here}/red.tflite --json"
    outputs = f"-o {here}/out.mp4 -o http://127.0.0.1:0 -o null"
    command = [sys.executable, "-m", "edgeseg", "blur", *options.split(), *outputs.split()]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            part = _until(lambda: list(here.glob(".out.part*")))[0]
            _until(lambda: part.stat().st_size > 0)
            time.sleep(1.0)
            Path("blur.toml").write_text('background = "#00ff00"\n')
            time.sleep(2.2)  # it looks each second
            process.send_signal(stop)
            report = json.loads(process.communicate(timeout=30)[0])
        finally:
            process.kill()
    assert process.returncode == 0
    assert report["frames"] > 20
    with open_source("out.mp4") as source:
        shots = list(source)
    assert len(shots) == report["frames"]
    first, last = (shot.frame[4, 140].astype(int) for shot in (shots[0], shots[-1]))  # of the green bar, which is no person
    assert np.abs(first - (255, 0, 0)).max() < 12
    assert np.abs(last - (0, 255, 0)).max() < 12
