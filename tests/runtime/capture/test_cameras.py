"""What follows --webcam, and the cameras that are no webcams: a Pi's (on a stand-in for picamera2) and a Jetson's."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.errors import CameraBusyError, CaptureError, EdgesegError, UsageError
from edgeseg.runtime.capture import camera, v4l2
from edgeseg.runtime.capture.cameras import open_camera
from edgeseg.runtime.capture.clock_camera import ClockCamera
from edgeseg.runtime.capture.cv_camera import CvCamera, has_gstreamer, jetson_pipeline, open_numbered
from edgeseg.runtime.capture.live import LiveSource
from edgeseg.runtime.capture.picamera import PiCamera
from edgeseg.runtime.capture.v4l2 import Device
from tests.runtime.capture import fake_picamera2
from tests.runtime.capture.fake_picamera2 import Picamera2


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch) -> type[Picamera2]:
    monkeypatch.setitem(sys.modules, "picamera2", fake_picamera2)
    monkeypatch.setattr(Picamera2, "opened", [])
    return Picamera2


def test_a_pi_gives_each_frame_twice(pi: type[Picamera2]) -> None:
    with open_camera("picamera2", (720, 1280), 30) as source:
        shot = next(iter(source))
        module = pi.opened[0]
        assert module.config["controls"] == {"FrameRate": 30}
        assert module.config["main"] == {"size": (1280, 720), "format": "RGB888"}
        assert module.config["lores"] == {"size": (320, 180), "format": "YUV420"}
    assert shot.frame.shape == (720, 1280, 3)
    assert (shot.frame == (30, 60, 200)).all()
    assert shot.small is not None
    assert shot.small.shape == (180, 320, 3)
    assert np.abs(shot.small.astype(int) - (0, 0, 255)).max() <= 2  # red: U and V are in their places
    assert (module.closed, module.started, module.held) == (True, False, 0)  # every request went back


def test_padding_of_the_small_picture_is_cut(pi: type[Picamera2]) -> None:
    small = PiCamera(0, (480, 480), 30)  # 320 x 320
    captured = small.read(1)
    assert captured is not None
    assert captured.small is not None
    assert captured.small.shape == (320, 320, 3)
    assert 0.005 < time.monotonic() - captured.taken_s < 0.5  # the sensor's time, 7 ms before


def test_a_pi_that_stalls_waits_no_longer_than_asked(pi: type[Picamera2], monkeypatch: pytest.MonkeyPatch) -> None:
    module = PiCamera(0, (480, 640), 30)
    monkeypatch.setattr(Picamera2, "delay_s", 9.0)
    started_s = time.monotonic()
    assert module.read(0.05) is None
    assert time.monotonic() - started_s < 1
    assert pi.opened[0].cancelled == 1


def test_a_pi_whose_camera_is_in_use_or_absent(pi: type[Picamera2], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CaptureError, match="no camera module 3"):
        PiCamera(3, (480, 640), 30)
    monkeypatch.setattr(Picamera2, "busy", True)
    with pytest.raises(CameraBusyError, match="Device or resource busy"):
        PiCamera(0, (480, 640), 30)


def test_without_picamera2_the_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(CaptureError, match="apt install python3-picamera2"), open_camera("picamera2"):
        pass


@pytest.mark.skipif(has_gstreamer(), reason="this OpenCV has GStreamer")
@pytest.mark.parametrize("name", ["nvargus", "nvargus:1", "videotestsrc ! videoconvert ! appsink"])
def test_without_gstreamer_a_pipeline_is_one_clear_line(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CaptureError, match="needs an OpenCV with GStreamer") as caught, open_camera(name):
        pass
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_the_pipeline_of_a_jetson() -> None:
    pipeline = jetson_pipeline(1, (720, 1280), 30)
    assert pipeline.startswith("nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM), width=1280, height=720, format=NV12")
    assert pipeline.endswith("format=BGR ! appsink drop=true max-buffers=1 sync=false")


class Capture:
    """As `cv2.VideoCapture`."""

    def __init__(self, frames: list[bool], opens: bool = True) -> None:
        self.frames, self.opens, self.reads, self.released = iter(frames), opens, 0, False

    def isOpened(self) -> bool:
        return self.opens

    def get(self, _: int) -> float:
        return 0.0

    def set(self, *_: float) -> bool:
        return True

    def release(self) -> None:
        self.released = True

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.reads += 1
        return (True, np.zeros((4, 6, 3), np.uint8)) if next(self.frames, False) else (False, None)


def test_a_camera_of_opencvs_that_is_gone_is_not_asked_in_a_loop() -> None:
    opened = Capture([True, False, True])
    module = CvCamera(opened, "0", 30.0)
    assert module.fps == 30.0
    assert module.read(1.0) is not None
    assert module.read(1.0) is not None  # a frame that is missed is waited for
    before = opened.reads
    assert module.read(0.1) is None
    assert opened.reads - before <= 8
    module.close()
    assert opened.released


def test_a_camera_of_opencvs_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Capture([], opens=False)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: opened)
    with pytest.raises(CaptureError, match="camera 3 cannot be opened"):
        open_numbered("3", (480, 640), 30)
    assert opened.released
    with pytest.raises(UsageError, match="numbers only"):
        open_numbered("c920", (480, 640), 30)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("synthetic", ClockCamera),
        ("3", camera.Webcam),
        ("/dev/video9", camera.Webcam),
        ("c920", camera.Webcam),
        ("picamera2:1", LiveSource),
        ("nvargus", LiveSource),
        ("picamera2:x", UsageError),
        ("nvargus:-1", UsageError),
    ],
)
def test_the_name_decides_the_camera(name: str, kind: type) -> None:
    if issubclass(kind, EdgesegError):
        with pytest.raises(kind):
            open_camera(name)
    else:
        assert type(open_camera(name)) is kind


def test_the_synthetic_camera_takes_size_and_rate() -> None:
    source = open_camera("synthetic", (90, 160), 15)
    assert (source.size_hw, source.fps, source.frames) == ((90, 160), 15, None)


def devices(monkeypatch: pytest.MonkeyPatch, *rows: tuple[str, str, list[str]]) -> None:
    """What the kernel has: (node, driver, formats)."""
    found = [Device(Path(node), "some card", driver, True, False) for node, driver, _ in rows]
    monkeypatch.setattr(v4l2, "devices", lambda _: found)
    monkeypatch.setattr(v4l2, "formats", lambda path: {Path(node): formats for node, _, formats in rows}[path])


def test_the_first_camera_is_a_real_one_that_gives_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, raw, good = (
        ("/dev/video0", "v4l2 loopback", ["YUYV"]),
        ("/dev/video1", "unicam", ["pBAA"]),
        ("/dev/video8", "uvcvideo", ["MJPG"]),
    )
    devices(monkeypatch, loop, raw, good)
    assert camera.first_camera() == Path("/dev/video8")
    devices(monkeypatch, loop, raw)
    assert camera.first_camera() == Path("/dev/video0")
    devices(monkeypatch, raw)
    with pytest.raises(CaptureError, match=r"/dev/video1 \(some card\) give no pictures"):
        camera.first_camera()
    devices(monkeypatch)
    with pytest.raises(CaptureError, match="no camera was found; connect one"):
        camera.first_camera()


def test_a_webcam_is_found_again_by_its_stable_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edgeseg.runtime.capture import v4l2_camera

    asked: list[Path] = []

    class Opened:
        def __init__(self, path: Path, *_: object) -> None:
            asked.append(path)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(v4l2_camera, "V4l2Camera", Opened)
    stable = "/dev/v4l/by-id/usb-046d_C920-video-index0"
    monkeypatch.setattr(v4l2, "stable_names", lambda: {Path("/dev/video3"): stable})
    webcam = camera.Webcam("3")
    webcam._open()
    webcam._open()  # unplugged and back, perhaps as /dev/video4
    assert asked == [Path("/dev/video3"), Path(stable)]
