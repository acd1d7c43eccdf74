"""The virtual camera: what is written to the kernel, what stands in the way, who watches. The real one: make test-camera."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edgeseg.errors import MissingExtraError, OutputError
from edgeseg.runtime import Shot
from edgeseg.runtime.capture import v4l2
from edgeseg.runtime.capture.clock_camera import BARS, colour_bars
from edgeseg.runtime.capture.v4l2 import Device
from edgeseg.runtime.sinks import loopback, virtual_camera, watchers
from edgeseg.runtime.sinks.loopback import Loopback, find_loopback
from edgeseg.runtime.sinks.virtual_camera import VirtualCamera
from edgeseg.runtime.sinks.watchers import OpenCount

linux = pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is Linux")


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that takes what a v4l2loopback device would; every format is granted."""
    path = tmp_path / "video10"
    path.touch()
    monkeypatch.setattr(loopback, "ioctl", lambda *_: 0)
    return path


@linux
@pytest.mark.parametrize("size_hw", [(16, 32), (15, 31), (1, 1)])
def test_frames_are_written_as_i420_in_their_colours(device: Path, size_hw: tuple[int, int]) -> None:
    height, width = size_hw[0] + size_hw[0] % 2, size_hw[1] + size_hw[1] % 2
    frame = colour_bars(size_hw)
    with VirtualCamera(size_hw, 30, str(device)) as camera:
        assert camera.write(Shot(frame, 0.0))
        assert camera.write(Shot(frame, 0.1))
    data = np.fromfile(device, np.uint8)
    assert data.size == 2 * height * width * 3 // 2
    got = cv2.cvtColor(data[: data.size // 2].reshape(height * 3 // 2, width), cv2.COLOR_YUV2BGR_I420)
    if size_hw == (16, 32):
        assert np.abs(got[8, 1::4].astype(int) - BARS).max() <= 2


@linux
def test_a_camera_that_is_held_at_another_format_says_by_whom_and_which(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(_: int, request: int, form: v4l2.Format) -> None:
        if request == v4l2.S_FMT:  # the driver answers with what it has
            form.of.pix.width, form.of.pix.height, form.of.pix.fourcc = 640, 480, v4l2.fourcc_of("YUYV")

    monkeypatch.setattr(loopback, "ioctl", held)
    with pytest.raises(OutputError, match=r"held at 480x640 YUYV by another program; .* --size 480x640"):
        Loopback(device, (720, 1280), 30)


@linux
@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOENT, "no such device; run: sudo modprobe v4l2loopback"),
        (errno.EACCES, "group video"),
        (errno.EBUSY, "in use by another program"),
        (errno.ENOTTY, "is it a v4l2loopback device"),
    ],
)
def test_a_camera_that_cannot_be_opened_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(loopback.os, "open", refuse)
    with pytest.raises(OutputError, match=says) as caught:
        Loopback(tmp_path / "video10", (16, 16), 30)
    assert "\n" not in str(caught.value)


@linux
def test_a_device_that_vanishes_is_an_output_error(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Loopback(device, (16, 16), 30)
    monkeypatch.setattr(loopback.os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENODEV, "No such device")))
    with pytest.raises(OutputError, match="takes no frames: No such device"):
        camera.write(np.zeros((16, 16, 3), np.uint8))
    camera.close()


OBS, OTHER, OWN = "OBS", "Other", "edgeseg"


@pytest.mark.parametrize(
    ("rows", "chosen"),  # (node, card, driver, takes frames, a program has it open)
    [
        ([], None),
        ([("video0", "C920", "uvcvideo", False, False)], None),
        ([("video9", OBS, "v4l2 loopback", True, False), ("video10", OWN, "v4l2 loopback", True, False)], "video10"),
        ([("video9", OBS, "v4l2 loopback", False, True), ("video11", OTHER, "v4l2 loopback", True, False)], "video11"),
        ([("video9", OBS, "v4l2 loopback", False, True)], "video9"),  # busy: opening it says by whom
        # an earlier run has left it so
        ([("video10", OWN, "v4l2 loopback", False, False), ("video11", OTHER, "v4l2 loopback", True, False)], "video10"),
        ([("video10", OWN, "v4l2 loopback", False, True), ("video11", OTHER, "v4l2 loopback", True, False)], "video11"),
    ],
)
def test_the_virtual_camera_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, str, str, bool, bool]], chosen: str | None
) -> None:
    opened = tmp_path / "proc" / "123" / "fd"
    opened.mkdir(parents=True)
    found = []
    for node, card, driver, takes, is_open in rows:
        (tmp_path / node).touch()
        found.append(Device(tmp_path / node, card, driver, not takes, takes))
        if is_open:
            (opened / node).symlink_to(tmp_path / node)
    monkeypatch.setattr(v4l2, "devices", lambda _: found)
    assert find_loopback(proc=tmp_path / "proc") == (tmp_path / chosen if chosen else None)


READER = "import sys; a = [open(sys.argv[1]) for _ in range(int(sys.argv[2]))]; print(flush=True); sys.stdin.read()"


@contextmanager
def reader(path: Path, times: int = 1) -> Iterator[None]:
    """Another program that has `path` open so many times; it ends with the body, and closes all at once."""
    command = [sys.executable, "-c", READER, str(path), str(times)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield


@linux
def test_who_watches_is_counted_without_root(tmp_path: Path) -> None:
    path = tmp_path / "video10"
    path.touch()
    own = os.open(path, os.O_RDWR)  # the writer's, which does not count
    with reader(path):
        count = OpenCount(path)
        assert count.count() == 1  # it was there before
        with reader(path, 3):
            assert count.count() == 4
        assert count.count() == 1  # three closings at once are one event
    assert count.count() == 0
    with reader(path):
        assert count.count() == 1
    assert count.count() == 0
    os.close(os.open(path, os.O_RDONLY))  # a program that looks through the cameras
    assert count.count() == 0
    count.close()
    os.close(own)


@linux
def test_programs_of_other_users_are_counted_by_their_openings(tmp_path: Path) -> None:
    path = tmp_path / "video10"
    path.touch()
    (tmp_path / "proc").mkdir()  # that shows nobody
    count = OpenCount(path, tmp_path / "proc")
    with reader(path):
        assert count.count() == 1
        with reader(path):
            assert count.count() == 2
        assert count.count() == 1
    assert count.count() == 0
    count.close()


@linux
def test_what_the_driver_says_of_its_clients_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "video10"
    path.touch()

    def driver(_: int, request: int, event: watchers.Event) -> None:
        if request == watchers.DQEVENT:
            event.type, event.count = watchers.CLIENT_USAGE, 3

    monkeypatch.setattr(watchers, "ioctl", driver)
    found = watchers.open_watchers(path)
    assert isinstance(found, watchers.DriverCount)
    assert found.count() == 3
    monkeypatch.undo()
    assert isinstance(watchers.open_watchers(path), OpenCount)  # a driver that knows no such event
    assert watchers.open_watchers(tmp_path / "none") is None


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="the numbers are those of 64 bits")
def test_the_event_requests_have_the_kernels_numbers() -> None:
    assert (watchers.DQEVENT, watchers.SUBSCRIBE_EVENT) == (0x80885659, 0x4020565A)
    assert (watchers.Event.count.offset, watchers.Event.pending.offset) == (8, 72)


class Virtual:
    """As `pyvirtualcam.Camera`."""

    def __init__(self, width: int, height: int, fps: float, *, fmt: str, device: str | None) -> None:
        self.frames: list[np.ndarray] = []
        self.closed = False
        self.size, self.fmt, self.device = (width, height), fmt, device

    def send(self, frame: np.ndarray) -> None:
        if len(self.frames) == 2:
            raise RuntimeError("the driver\nhas gone")
        self.frames.append(frame.copy())

    def close(self) -> None:
        self.closed = True


def test_elsewhere_pyvirtualcam_is_used_and_its_errors_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(Camera=Virtual, PixelFormat=SimpleNamespace(BGR="bgr"))
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    monkeypatch.setattr(virtual_camera, "find_loopback", lambda: None)
    frame = np.full((4, 6, 3), 7, np.uint8)
    with VirtualCamera((4, 6), 30) as camera:
        inner = camera._camera
        assert camera.watched()  # it cannot tell
        camera.write(Shot(frame, 0.0))
        camera.write(Shot(frame, 0.1))
        with pytest.raises(OutputError, match="takes no frames: the driver has gone"):
            camera.write(Shot(frame, 0.2))
    assert (inner.size, inner.fmt, len(inner.frames), inner.closed) == ((6, 4), "bgr", 2, True)


def test_without_either_the_error_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    monkeypatch.setattr(virtual_camera, "find_loopback", lambda: None)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(MissingExtraError, match=r"modprobe v4l2loopback.*edgeseg\[vcam\]"), VirtualCamera((4, 4), 30):
        pass
