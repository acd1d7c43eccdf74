"""Bad input and bad days, through the whole run: each ends in one line or goes on, and never shows a frame of the raw room."""

from __future__ import annotations

import itertools
import runpy
import struct
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.errors import CaptureError, DataError, EdgesegError
from edgeseg.runtime import Blur, LiveSource, Null, NullSession, Shot, VideoSink, open_background, open_sink, open_source, run
from edgeseg.runtime.capture.live import Backoff
from edgeseg.runtime.picture import write_picture
from edgeseg.runtime.sinks.outputs import Outputs
from tests.runtime.capture.cameras import GONE, Port, ScriptedCamera

SIZE = (180, 320)


def room(shift: int = 0) -> np.ndarray:
    """A room that would be recognised: stripes four pixels wide."""
    stripes = ((np.arange(SIZE[1]) + shift) // 4 % 2).astype(np.uint8) * 255
    return np.ascontiguousarray(np.broadcast_to(stripes[None, :, None], (*SIZE, 3)))


def shows_the_room(frame: np.ndarray) -> bool:
    """Whether stripes can be seen in the upper left corner, where `NullSession` sees nobody."""
    return bool(np.abs(np.diff(frame[:20, :80].astype(int), axis=1)).max() > 60)


def _broken(path: Path) -> Path:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    return path


def _cut(path: Path) -> Path:
    write_picture(path, np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:5000])
    return path


def _cut_video(path: Path) -> Path:
    with VideoSink(path, (64, 64), 10) as sink:
        for index in range(10):
            sink.write(Shot(np.full((64, 64, 3), 20 * index, np.uint8), index / 10))
    path.write_bytes(path.read_bytes()[:400])
    return path


def _bomb(path: Path) -> Path:
    """A PNG of a few bytes whose header claims 10^9 pixels."""
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(4) + b"IHDR" + struct.pack(">II", 40_000, 25_000) + bytes(40))
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda d: _broken(d / "b.png"), "not a picture|cannot be decoded"),
        (lambda d: _bomb(d / "b.png"), "claims 25000x40000 pixels"),
        (lambda d: _empty(d / "b.jpg"), "no picture or video"),
        (lambda d: _cut_video(d / "b.mp4"), "no picture or video|no frames|damaged"),
        (lambda d: d / "none.jpg", "give one of these"),
        (lambda d: d, "give one of these"),
    ],
)
def test_a_broken_background_is_one_line(
    tmp_path: Path, make: Callable[[Path], Path], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(EdgesegError, match=says) as caught:
        open_background(make(tmp_path))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_half_a_jpeg_is_refused_or_shown_but_never_the_room(tmp_path: Path) -> None:
    path = _cut(tmp_path / "half.jpg")
    try:
        background = open_background(path)
    except DataError:
        return
    assert not shows_the_room(Blur(NullSession(), background=background)(room()))


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (4000, 6000)])
def test_a_tiny_and_a_huge_background_fit(tmp_path: Path, size: tuple[int, int]) -> None:
    write_picture(tmp_path / "b.png", np.full((*size, 3), (10, 200, 30), np.uint8))
    with Blur(NullSession(), background=tmp_path / "b.png") as blur:
        out = blur(room())
    assert out.shape == (*SIZE, 3)
    assert np.abs(out[:10, :10].astype(int) - (10, 200, 30)).max() <= 1


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_backgrounds_and_inputs(tmp_path: Path, channels: int) -> None:
    pixel = (90,) if channels == 1 else (90, 90, 90, 5)
    cv2.imwrite(str(tmp_path / "b.png"), np.full((30, 40, channels), pixel, np.uint8))
    blur = Blur(NullSession(), background=tmp_path / "b.png")
    with blur, open_source(tmp_path / "b.png") as source, open_sink(tmp_path / "out.png", source) as sink:
        run(source, blur, sink)
    assert (cv2.imread(str(tmp_path / "out.png")) == 90).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (479, 641), (641, 479), (1, 500), (2160, 3840)])
@pytest.mark.parametrize("suffix", [".png", ".mp4"])
def test_frames_of_any_size_go_in_and_come_out(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    frame = np.full((*size, 3), (40, 90, 160), np.uint8)
    source_path = tmp_path / f"in{suffix}"
    if suffix == ".png":
        write_picture(source_path, frame)
    else:
        with VideoSink(source_path, size, 10) as sink:
            sink.write(Shot(frame, 0.0))
    with Blur(NullSession()) as blur, open_source(source_path) as source, open_sink(tmp_path / f"out{suffix}", source) as sink:
        report = run(source, blur, sink)
    even = size if suffix == ".png" else (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert (report.frames, tuple(report.size_hw)) == (1, even)
    with open_source(tmp_path / f"out{suffix}") as result:
        out = next(iter(result)).frame
    assert out.shape[:2] == even
    sample = out[:: max(1, size[0] // 64), :: max(1, size[1] // 64)].astype(int)
    assert np.abs(sample - (40, 90, 160)).max() <= 6


class Watching(Null):
    """Keeps what is shown, and stops after `enough` frames."""

    def __init__(self, enough: int = 10**9) -> None:
        self.shots: list[Shot] = []
        self.enough = enough

    def write(self, shot: Shot) -> bool:
        self.shots.append(shot._replace(frame=shot.frame.copy()))
        return len(self.shots) < self.enough


def test_a_camera_that_comes_and_goes_never_shows_the_room_and_ends_nothing() -> None:
    def sessions() -> Iterator[Callable[[], ScriptedCamera] | Exception]:
        for number in range(6):
            yield lambda n=number: ScriptedCamera([*(room(n + i) for i in range(4)), GONE], every_s=0.01)
            yield CaptureError("No such device")

    sink = Watching(40)
    source = LiveSource(
        Port(*sessions(), lambda: ScriptedCamera(room(i) for i in itertools.count())), backoff=Backoff(0.005, 0.02)
    )
    with source, Blur(NullSession()) as blur, Outputs([sink]) as outputs:
        report = run(source, blur, outputs)
    assert report.frames == 40
    assert {shot.notice for shot in sink.shots} == {"", "camera gone, waiting"}
    assert not any(shows_the_room(shot.frame) for shot in sink.shots)


@pytest.mark.parametrize("at", range(4))
def test_ctrl_c_at_any_moment_leaves_what_was_there_before_or_a_video_that_plays(tmp_path: Path, at: int) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("precious")

    class Interrupted(VideoSink):
        """Ctrl-C comes while frame number `at` is written."""

        count = 0

        def write(self, shot: Shot) -> bool:
            self.count += 1
            if self.count > at:
                raise KeyboardInterrupt
            return super().write(shot)

    port = Port(lambda: ScriptedCamera(room(i) for i in itertools.count()))
    with LiveSource(port) as source, Blur(NullSession()) as blur, Interrupted(target, SIZE, 30, live=True) as sink:
        report = run(source, blur, sink)
    assert report.frames == at
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    if at == 0:
        assert target.read_text() == "precious"
        return
    with open_source(target) as result:
        shots = list(result)
    assert len(shots) == at
    assert not any(shows_the_room(shot.frame) for shot in shots)


def test_ctrl_c_while_the_program_is_being_loaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "edgeseg.cli", types.SimpleNamespace(main=interrupted))
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("edgeseg", run_name="__main__")
    assert caught.value.code == 130
    assert capsys.readouterr().err == "edgeseg: stopped\n"
