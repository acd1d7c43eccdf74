"""A Raspberry Pi's camera module, by picamera2: OpenCV cannot open it.

Its image processor delivers each frame twice, "main" at full size and "lores" at the size that networks take, for free. Nothing
need be shrunk then: `Shot.small` is what inference reads. (The Picamera2 Library, Raspberry Pi Ltd, sections 4.2 and 6.)
"""

from __future__ import annotations

import os
import time
from concurrent import futures
from typing import Any

import cv2

from edgeseg.errors import CameraBusyError, CaptureError
from edgeseg.runtime.arrays import Frame
from edgeseg.runtime.capture.live import Captured

SMALL_WIDTH = 320  # of the small picture: a multiple of 64, so that its rows carry no padding


class PiCamera:
    """Camera module `number`, streaming. See `live.Camera`. CaptureError where there is no picamera2 or no camera."""

    passed_over = 0  # picamera2 keeps the newest frame only, and does not count the others

    def __init__(self, number: int, size_hw: tuple[int, int], fps: float) -> None:
        os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")  # it tells of every start on stderr
        try:
            from picamera2 import Picamera2
        except ImportError:
            raise CaptureError(
                "a Pi's camera module needs picamera2, which is not installed; run: sudo apt install python3-picamera2, and "
                "make the environment with: python3 -m venv --system-site-packages"
            ) from None
        there = Picamera2.global_camera_info()
        if number not in [info.get("Num", index) for index, info in enumerate(there)]:
            raise CaptureError(
                f"there is no camera module {number}: libcamera sees {len(there)}; see: rpicam-hello --list-cameras"
            )
        height, width = size_hw
        try:
            self._camera: Any = Picamera2(number)
        except RuntimeError as error:
            why = str(error.__context__ or error)  # its own text is "Camera __init__ sequence did not complete."
            kind = CameraBusyError if "busy" in why else CaptureError
            raise kind(f"camera module {number} cannot be opened ({why}); does another program use it?") from None
        small_height = max(2, 2 * round(SMALL_WIDTH * height / width / 2))
        try:
            self._camera.configure(
                self._camera.create_video_configuration(
                    main={"size": (width, height), "format": "RGB888"},  # libcamera's name for bytes in the order B, G, R
                    lores={"size": (SMALL_WIDTH, small_height), "format": "YUV420"},  # the only kind a Pi 4 makes
                    controls={"FrameRate": fps},
                    buffer_count=4,
                )
            )
            configured = self._camera.camera_configuration()
            self._small_size = configured["lores"]["size"]
            width, height = configured["main"]["size"]
            self._camera.start()
        except RuntimeError as error:
            self._camera.close()
            raise CaptureError(
                f"camera module {number} refuses {size_hw[0]}x{size_hw[1]} ({error}); try another --size"
            ) from None
        self.size_hw, self.fps = (height, width), fps

    def read(self, patience_s: float) -> Captured | None:
        job = self._camera.capture_request(wait=False)
        try:
            request = self._camera.wait(job, timeout=patience_s)
        except (TimeoutError, futures.TimeoutError):  # one and the same from Python 3.11 on
            self._camera.cancel_all_and_flush()
            return None
        except RuntimeError as error:
            raise CaptureError(f"the camera module is gone ({error})") from None
        try:
            frame = request.make_array("main")
            small = self._bgr(request.make_array("lores"))
            stamp_ns = request.get_metadata().get("SensorTimestamp")
        finally:
            request.release()
        now_s = time.monotonic()
        taken_s = stamp_ns / 1e9 if stamp_ns and 0 <= now_s - stamp_ns / 1e9 < 1 else now_s
        return Captured(frame, taken_s, small)

    def _bgr(self, planes: Frame) -> Frame:
        """(3h/2, stride) I420 as picamera2 gives it -> (h, w, 3); rows may be padded on the right."""
        converted = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)
        width, height = self._small_size
        return converted[:height, :width]  # type: ignore[return-value]

    def close(self) -> None:
        self._camera.stop()
        self._camera.close()
