"""The kernel's interface: numbers and layouts as linux/videodev2.h has them, and names that find their camera."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

import pytest

from edgeseg.errors import CameraBusyError, CaptureError
from edgeseg.runtime.capture import v4l2, v4l2_camera
from edgeseg.runtime.capture.openers import open_counts, who_opens
from edgeseg.runtime.capture.v4l2 import Device

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux")


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="the numbers below are those of 64 bits")
@pytest.mark.parametrize(
    ("name", "number"),  # as strace and v4l2-ctl print them on x86-64 and arm64
    [
        ("QUERYCAP", 0x80685600),
        ("ENUM_FMT", 0xC0405602),
        ("G_FMT", 0xC0D05604),
        ("S_FMT", 0xC0D05605),
        ("S_PARM", 0xC0CC5616),
        ("ENUM_FRAMESIZES", 0xC02C564A),
        ("ENUM_FRAMEINTERVALS", 0xC034564B),
        ("REQBUFS", 0xC0145608),
        ("QUERYBUF", 0xC0585609),
        ("QBUF", 0xC058560F),
        ("DQBUF", 0xC0585611),
        ("STREAMON", 0x40045612),
        ("STREAMOFF", 0x40045613),
    ],
)
def test_the_requests_have_the_kernels_numbers(name: str, number: int) -> None:
    assert (getattr(v4l2, name, None) or getattr(v4l2_camera, name)) == number


def test_four_letters_are_a_number_and_back() -> None:
    assert v4l2.fourcc_of("YUYV") == 0x56595559
    assert v4l2.fourcc_text(0x47504A4D) == "MJPG"


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /dev with two webcams, their second nodes, and a virtual camera."""
    (tmp_path / "v4l" / "by-id").mkdir(parents=True)
    (tmp_path / "v4l" / "by-path").mkdir()
    nodes = {
        "video0": Device(tmp_path / "video0", "HD Pro Webcam C920", "uvcvideo", True, False),
        "video1": Device(tmp_path / "video1", "HD Pro Webcam C920", "uvcvideo", False, False),
        "video2": Device(tmp_path / "video2", "Integrated Camera", "uvcvideo", True, False),
        "video10": Device(tmp_path / "video10", "edgeseg", "v4l2 loopback", True, True),
    }
    for name in nodes:
        (tmp_path / name).touch()
    (tmp_path / "video-not-a-number").touch()
    links = {
        "by-id/usb-046d_HD_Pro_Webcam_C920_8F3A-video-index0": "video0",
        "by-id/usb-046d_HD_Pro_Webcam_C920_8F3A-video-index1": "video1",
        "by-path/pci-0000:00:14.0-usb-0:2:1.0-video-index0": "video0",
        "by-path/pci-0000:00:14.0-usb-0:8:1.0-video-index0": "video2",
    }
    for link, node in links.items():
        (tmp_path / "v4l" / link).symlink_to(tmp_path / node)
    monkeypatch.setattr(v4l2, "describe", lambda path: nodes.get(path.name))
    return tmp_path


def test_stable_names_by_id_before_by_path(dev: Path) -> None:
    names = {node.name: Path(link).name for node, link in v4l2.stable_names(dev).items()}
    assert names == {
        "video0": "usb-046d_HD_Pro_Webcam_C920_8F3A-video-index0",
        "video1": "usb-046d_HD_Pro_Webcam_C920_8F3A-video-index1",
        "video2": "pci-0000:00:14.0-usb-0:8:1.0-video-index0",
    }


def test_devices_come_by_number(dev: Path) -> None:
    assert [device.path.name for device in v4l2.devices(dev)] == ["video0", "video1", "video2", "video10"]


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("0", "video0"),
        ("10", "video10"),
        ("77", "video77"),  # whether it exists is seen when it is opened
        ("/dev/video3", "/dev/video3"),
        ("usb-046d_HD_Pro_Webcam_C920_8F3A-video-index0", "video0"),
        ("c920", "video0"),
        ("integrated", "video2"),
        ("EDGESEG", "video10"),
    ],
)
def test_a_name_finds_its_camera(dev: Path, name: str, node: str) -> None:
    assert v4l2.find(name, dev) == (Path(node) if node.startswith("/") else dev / node)


@pytest.mark.parametrize(("name", "says"), [("logitech", "is no camera here"), ("a", "fits several cameras")])
def test_a_name_that_finds_none_or_several_says_what_there_is(dev: Path, name: str, says: str) -> None:
    with pytest.raises(CaptureError, match=says) as caught:
        v4l2.find(name, dev)
    assert "Integrated Camera" in str(caught.value)
    assert "\n" not in str(caught.value)


class Listing(ctypes.Structure):
    _fields_ = (("index", ctypes.c_uint32), ("value", ctypes.c_uint32))


@pytest.mark.parametrize("length", [0, 3, 10_000])
def test_a_listing_ends_where_the_driver_says_so_and_in_any_case(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    def driver(_: int, __: int, entry: Listing) -> None:
        if entry.index >= length:
            raise OSError(errno.EINVAL, "Invalid argument")
        entry.value = 7 * entry.index

    monkeypatch.setattr(v4l2, "ioctl", driver)
    values = [entry.value for entry in v4l2.enumerate_by_index(0, 0, Listing())]
    assert values == [7 * i for i in range(min(length, 256))]


def test_a_camera_that_scales_is_asked_for_the_wanted_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def driver(_: int, request: int, entry: ctypes.Structure) -> None:
        if request == v4l2.ENUM_FMT and entry.index == 0:  # type: ignore[attr-defined]
            entry.fourcc = v4l2.fourcc_of("YUYV")  # type: ignore[attr-defined]
        elif request == v4l2.ENUM_FRAMESIZES and entry.index == 0:  # type: ignore[attr-defined]
            entry.type = 3  # type: ignore[attr-defined]  # stepwise
            entry.numbers[:] = 2, 1000, 2, 1, 600, 1  # type: ignore[attr-defined]
        elif request == v4l2.ENUM_FRAMEINTERVALS and entry.index == 0:  # type: ignore[attr-defined]
            entry.type = 2  # type: ignore[attr-defined]  # continuous: the shortest comes first
            entry.numbers[:2] = 1, 60  # type: ignore[attr-defined]
        else:
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(v4l2, "ioctl", driver)
    found = {(mode.size_hw, mode.fps) for mode in v4l2.modes(0, (333, 444))}
    assert found == {((333, 444), 60), ((480, 640), 60), ((540, 960), 60)}


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (errno.ENOENT, CaptureError, "does not exist"),
        (errno.EACCES, CaptureError, "group video"),
        (errno.EBUSY, CameraBusyError, "in use by"),
        (errno.ENOSPC, CaptureError, "bus has no room"),
        (errno.EIO, CaptureError, "Input/output error"),
    ],
)
def test_a_camera_that_cannot_be_opened_says_why_in_one_line(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[CaptureError], says: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(v4l2_camera.os, "open", refuse)
    with pytest.raises(kind, match=says) as caught:
        v4l2_camera.V4l2Camera(Path("/dev/video5"), None, 30, "5")
    assert str(caught.value).startswith("camera 5 cannot be opened: ")
    assert "\n" not in str(caught.value)


def test_who_has_a_file_open(tmp_path: Path) -> None:
    path = tmp_path / "device"
    path.touch()
    assert open_counts(path) == {}
    with path.open(), path.open():
        assert open_counts(path) == {os.getpid(): 2}
        assert who_opens(path) == []  # ourselves are no answer to who else
    assert open_counts(path) == {}
    assert open_counts(tmp_path / "none") == {}
