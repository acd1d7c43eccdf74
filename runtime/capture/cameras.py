"""The live source that a name means: a webcam, a camera module, a synthetic camera."""

from __future__ import annotations

from collections.abc import Callable

from edgeseg.errors import CaptureError, UsageError
from edgeseg.runtime.capture.camera import Webcam, first_camera
from edgeseg.runtime.capture.camera_modes import DEFAULT_HW
from edgeseg.runtime.capture.clock_camera import ClockCamera
from edgeseg.runtime.capture.live import Camera, LiveSource
from edgeseg.runtime.capture.source import Source


def open_camera(
    name: str = "auto",
    size_hw: tuple[int, int] | None = None,
    fps: float | None = None,
    *,
    mirror: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Source:
    """A live source, not yet entered, for what follows --webcam:

    "auto"            the first webcam, else a Pi's camera module
    a number, a path, a name of /dev/v4l/by-id, or a part of such a name
    "picamera2[:N]"   camera module N of a Raspberry Pi
    "nvargus[:N]"     camera module N of a Jetson
    "a ! b ! appsink" a GStreamer pipeline
    "synthetic"       colour bars with a clock: no camera at all

    size_hw, fps  asked for; 720p and 30 frames/s where None
    say           is told in one line when the camera goes, and when it is back
    """
    rate, size = fps or 30.0, size_hw or DEFAULT_HW
    kind, _, number = name.partition(":")
    if name == "synthetic":
        return ClockCamera(size, rate)
    if kind in ("picamera2", "nvargus") or "!" in name:
        return LiveSource(_module(name, kind, number, size, rate), mirror=mirror, say=say)
    if name == "auto" and _only_a_module():
        return LiveSource(_module("picamera2", "picamera2", "", size, rate), mirror=mirror, say=say)
    return Webcam(name, size_hw, rate, mirror=mirror, say=say)


def _module(name: str, kind: str, number: str, size_hw: tuple[int, int], fps: float) -> Callable[[], Camera]:
    """What opens a camera that is no webcam."""
    if "!" not in name and number and not number.isdecimal():
        raise UsageError(f"{name!r} should end in the number of a camera module, as in {kind}:0")

    def picamera2() -> Camera:
        from edgeseg.runtime.capture.picamera import PiCamera

        return PiCamera(int(number or 0), size_hw, fps)

    def gstreamer() -> Camera:
        from edgeseg.runtime.capture.cv_camera import jetson_pipeline, open_gstreamer

        pipeline = name if "!" in name else jetson_pipeline(int(number or 0), size_hw, fps)
        return open_gstreamer(pipeline, kind if "!" not in name else "of this pipeline", fps)

    return picamera2 if kind == "picamera2" else gstreamer


def _only_a_module() -> bool:
    """Whether there is no webcam, and picamera2 to try instead."""
    import importlib.util

    if importlib.util.find_spec("picamera2") is None:
        return False
    try:
        first_camera()
    except CaptureError:
        return True
    return False
