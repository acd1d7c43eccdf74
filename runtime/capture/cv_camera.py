"""Cameras by OpenCV: webcams where there is no V4L2 (macOS, Windows), and GStreamer pipelines (a Jetson's camera module)."""

from __future__ import annotations

import sys
import time
from typing import Any

import cv2

from edgeseg.errors import CaptureError, UsageError
from edgeseg.runtime.capture.live import PATIENCE_S, Captured
from edgeseg.runtime.quiet import quiet_stderr

PAUSE_S = 0.02  # after a read that gave nothing: a camera may miss a frame, and never is one that is gone asked in a loop


class CvCamera:
    """An opened `cv2.VideoCapture`. See `live.Camera`."""

    passed_over = 0

    def __init__(self, opened: Any, name: str, fps: float) -> None:
        if not opened.isOpened():
            opened.release()
            raise CaptureError(
                f"camera {name} cannot be opened: it does not exist, is in use by another program, or is not allowed to you; "
                "see: edgeseg doctor"
            )
        self._opened = opened
        self.fps = opened.get(cv2.CAP_PROP_FPS) or fps
        self.size_hw = (int(opened.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(opened.get(cv2.CAP_PROP_FRAME_WIDTH)))

    def read(self, patience_s: float) -> Captured | None:
        until_s = time.monotonic() + patience_s
        while True:
            good, frame = self._opened.read()
            if good and frame is not None:
                return Captured(frame, time.monotonic())
            if time.monotonic() >= until_s:
                return None
            time.sleep(PAUSE_S)

    def close(self) -> None:
        with quiet_stderr():  # OpenCV warns about a device that is gone
            self._opened.release()


def open_numbered(name: str, size_hw: tuple[int, int], fps: float) -> CvCamera:
    """Webcam `name`, a number ("auto" is 0), at `size_hw` and `fps` if it can."""
    if name != "auto" and not name.isdecimal():
        raise UsageError(f"on {sys.platform} cameras have numbers only, not names such as {name!r}; try --webcam 0")
    with quiet_stderr():
        opened = cv2.VideoCapture(0 if name == "auto" else int(name), cv2.CAP_ANY)
        for setting, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, size_hw[1]),
            (cv2.CAP_PROP_FRAME_HEIGHT, size_hw[0]),
            (cv2.CAP_PROP_FPS, fps),
        ):
            opened.set(setting, value)
    return CvCamera(opened, name, fps)


def open_gstreamer(pipeline: str, name: str, fps: float) -> CvCamera:
    """The frames that GStreamer `pipeline` (as of gst-launch, ending in an appsink) gives as BGR."""
    if not has_gstreamer():
        raise CaptureError(
            f"camera {name} needs an OpenCV with GStreamer, and this one ({cv2.__version__}, from {cv2.__path__[0]}) has none; "
            "on a Jetson uninstall opencv-python-headless, and JetPack's own (apt install python3-opencv) is used"
        )
    with quiet_stderr():
        settings = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 5000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(1000 * PATIENCE_S)]
        opened = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER, settings)
    return CvCamera(opened, name, fps)


def has_gstreamer() -> bool:
    """Whether this build of OpenCV runs GStreamer pipelines; those of the package index do not."""
    return any("GStreamer" in line and "YES" in line for line in cv2.getBuildInformation().splitlines())


def jetson_pipeline(sensor: int, size_hw: tuple[int, int], fps: float) -> str:
    """A Jetson's camera module: its frames stay in the GPU's memory (NVMM) until they are scaled and converted.

    After Nvidia's Accelerated GStreamer guide. The last step drops what the program is too slow for, so that no delay grows.
    """
    height, width = size_hw
    return " ! ".join(
        (
            f"nvarguscamerasrc sensor-id={sensor}",
            f"video/x-raw(memory:NVMM), width={width}, height={height}, format=NV12, framerate={round(fps)}/1",
            "nvvidconv",
            "video/x-raw, format=BGRx",
            "videoconvert",
            "video/x-raw, format=BGR",
            "appsink drop=true max-buffers=1 sync=false",
        )
    )
