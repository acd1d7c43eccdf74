"""What the doctor says of cameras and boards, on machines made up for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeseg.cli import main
from edgeseg.runtime.capture import v4l2
from edgeseg.runtime.capture.v4l2 import Device, Mode
from edgeseg.runtime.doctor import video_devices
from edgeseg.runtime.doctor.video_devices import cameras, heat, pipewire, virtual_camera, window
from tests.runtime.capture.test_camera_modes import USB2
from tests.runtime.control.test_board import board

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux")


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """/dev with the nodes that `machine` gives it."""
    monkeypatch.setattr(video_devices, "who_opens", lambda _: [])
    monkeypatch.setattr(video_devices, "told_by_driver", lambda _: None)
    monkeypatch.setattr(video_devices, "has_gstreamer", lambda: False)
    monkeypatch.setattr(video_devices.importlib.util, "find_spec", lambda _: None)
    machine(monkeypatch, tmp_path)
    return tmp_path


def machine(monkeypatch: pytest.MonkeyPatch, dev: Path, *devices: Device, modes: list[Mode] = USB2) -> None:
    for device in devices:
        device.path.touch()
    monkeypatch.setattr(v4l2, "devices", lambda _: list(devices))
    monkeypatch.setattr(v4l2, "modes", lambda *_: modes)
    monkeypatch.setattr(v4l2, "formats", lambda _: ["YU12"])


def webcam(dev: Path) -> Device:
    return Device(dev / "video0", "HD Pro Webcam C920", "uvcvideo", True, False)


def lines(checks: list[video_devices.Check]) -> list[tuple[str, str, str]]:
    return [(check.name, check.verdict, check.detail) for check in checks]


def test_a_camera_with_its_stable_name_and_mode(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, dev, webcam(dev), Device(dev / "video1", "HD Pro Webcam C920", "uvcvideo", False, False))
    (dev / "v4l" / "by-id").mkdir(parents=True)
    (dev / "v4l" / "by-id" / "usb-046d_C920-video-index0").symlink_to(dev / "video0")
    expected = "HD Pro Webcam C920; --webcam usb-046d_C920-video-index0; 720x1280 MJPG at 30 frames/s"
    assert lines(cameras(dev)) == [(f"camera {dev}/video0", "ok", expected)]


def test_a_camera_that_is_in_use_says_by_whom(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, dev, webcam(dev))
    monkeypatch.setattr(video_devices, "who_opens", lambda _: ["firefox (process 12)"])
    assert cameras(dev)[0].detail.endswith("; in use by firefox (process 12)")


def test_a_camera_without_a_format_that_is_read(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, dev, webcam(dev), modes=[Mode("H264", (720, 1280), 30)])
    ((_, verdict, detail),) = lines(cameras(dev))
    assert (verdict, detail) == ("missing", "HD Pro Webcam C920; no format that edgeseg reads (H264)")


def test_no_camera_and_one_that_is_not_ours(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.verdict for check in cameras(dev)] == ["missing"]
    (dev / "video0").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    ((name, verdict, detail),) = lines(cameras(dev))
    assert (name, verdict) == ("group video", "bad")
    assert "usermod -aG video" in detail


def test_a_pi_without_picamera2_is_told_how_to_get_it(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_devices, "_is_pi", lambda: True)
    assert ("Pi camera module", "missing", "sudo apt install python3-picamera2") in lines(cameras(dev))


@pytest.mark.parametrize(("captures", "takes", "verdict"), [(False, True, "ok"), (True, False, "ok"), (True, True, "missing")])
def test_the_virtual_camera_and_exclusive_caps(
    dev: Path, monkeypatch: pytest.MonkeyPatch, captures: bool, takes: bool, verdict: str
) -> None:
    module = dev / "module"
    module.mkdir()
    (module / "version").write_text("0.12.7\n")
    machine(monkeypatch, dev, Device(dev / "video10", "edgeseg", "v4l2 loopback", captures, takes))
    ((name, found, detail),) = lines(virtual_camera(dev, module))
    assert (name, found) == (f"virtual camera {dev}/video10", verdict)
    assert "v4l2loopback 0.12.7" in detail
    assert ("exclusive_caps" in detail) == (verdict == "missing")


def test_no_module_and_no_device(dev: Path) -> None:
    assert "modprobe v4l2loopback exclusive_caps=1" in virtual_camera(dev, dev / "none")[0].detail
    (dev / "module").mkdir()
    assert "has no device" in virtual_camera(dev, dev / "module")[0].detail


def test_pipewire(tmp_path: Path) -> None:
    assert pipewire(tmp_path)[0].verdict == "missing"
    (tmp_path / "pipewire-0").touch()
    assert "wireplumber" in pipewire(tmp_path)[0].detail


@pytest.mark.parametrize(
    ("cv", "tk", "screen", "verdict", "says"),
    [
        (True, False, True, "ok", "by OpenCV"),
        (False, True, True, "ok", "by Tk"),
        (False, True, False, "missing", "no screen"),
        (False, False, True, "missing", "python3-tk"),
    ],
)
def test_the_window(monkeypatch: pytest.MonkeyPatch, cv: bool, tk: bool, screen: bool, verdict: str, says: str) -> None:
    monkeypatch.setattr(video_devices, "has_cv_window", lambda: cv)
    monkeypatch.setattr(video_devices, "has_screen", lambda: screen)
    monkeypatch.setattr(video_devices.importlib.util, "find_spec", lambda _: object() if tk else None)
    ((_, found, detail),) = lines(window())
    assert found == verdict
    assert says in detail


@pytest.mark.parametrize(
    ("millidegrees", "flags", "expected"),
    [
        (51_000, "0", ("ok", "51 of 80 degrees C")),
        (51_000, "10000", ("ok", "51 of 80 degrees C; since the start: under-voltage; use a stronger power supply")),
        (82_000, "4", ("bad", "82 of 80 degrees C; now: throttled; it slows itself down; cool it")),
    ],
)
def test_heat(tmp_path: Path, millidegrees: int, flags: str, expected: tuple[str, str]) -> None:
    ((_, verdict, detail),) = lines(heat(board(tmp_path, "cpu-thermal", millidegrees, flags=flags)))
    assert (verdict, detail) == expected


def test_no_board_has_no_heat(tmp_path: Path) -> None:
    assert heat(tmp_path) == []


def test_the_command_prints_the_unit_and_nothing_else() -> None:
    result = CliRunner().invoke(main, ["doctor", "--systemd-unit"])
    assert result.exit_code == 0
    assert result.stdout.startswith("# edgeseg as a service")
    assert result.stdout.endswith("WantedBy=default.target\n")
