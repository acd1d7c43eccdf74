"""The part of picamera2's interface that edgeseg uses, with its names, arguments and results; no camera is behind it.

`Picamera2.delay_s` is how long the next frame takes; `busy` and `modules` what the constructor meets.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

import numpy as np

STRIDE = 64  # libcamera pads rows of lores to multiples of this


class Job:
    def __init__(self, ready_s: float) -> None:
        self.ready_s = ready_s


class CompletedRequest:
    def __init__(self, camera: Picamera2) -> None:
        self.camera = camera

    def make_array(self, name: str) -> np.ndarray:
        width, height = self.camera.config[name]["size"]
        if name == "main":  # "RGB888" is B, G, R in memory
            return np.full((height, width, 3), (30, 60, 200), np.uint8)
        stride = -(-width // STRIDE) * STRIDE
        planes = np.zeros((height * 3 // 2, stride), np.uint8)
        planes[:height] = 81  # red, in BT.601
        planes[height : height + height // 4] = 90
        planes[height + height // 4 :] = 240
        return planes

    def get_metadata(self) -> dict[str, Any]:
        return {"SensorTimestamp": time.monotonic_ns() - 7_000_000, "ExposureTime": 10_000}

    def release(self) -> None:
        self.camera.held -= 1


class Picamera2:
    modules: ClassVar[list[dict[str, Any]]] = [{"Model": "imx708", "Location": 2, "Id": "/base/i2c@1/imx708@1a", "Num": 0}]
    busy: ClassVar[bool] = False
    delay_s: ClassVar[float] = 0.0
    opened: ClassVar[list[Picamera2]] = []

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return Picamera2.modules

    def __init__(self, camera_num: int = 0) -> None:
        try:
            if self.busy:
                raise RuntimeError("Failed to acquire camera: Device or resource busy")
        except RuntimeError:
            raise RuntimeError("Camera __init__ sequence did not complete.")  # noqa: B904 (as the original does)
        self.number, self.config, self.started, self.closed, self.held, self.cancelled = camera_num, {}, False, False, 0, 0
        Picamera2.opened.append(self)

    def create_video_configuration(
        self,
        main: dict[str, Any] = {},  # noqa: B006
        lores: dict[str, Any] | None = None,
        controls: dict[str, Any] = {},  # noqa: B006
        buffer_count: int = 6,
    ) -> dict[str, Any]:
        return {"main": main, "lores": lores, "controls": controls, "buffer_count": buffer_count}

    def configure(self, camera_config: dict[str, Any]) -> None:
        if camera_config["lores"]["size"][0] > camera_config["main"]["size"][0]:
            raise RuntimeError("lores stream dimensions may not exceed main stream")
        self.config = camera_config

    def camera_configuration(self) -> dict[str, Any]:
        return self.config

    def start(self) -> None:
        self.started = True

    def capture_request(self, wait: bool | None = None) -> Job:
        assert self.started
        assert wait is False
        return Job(time.monotonic() + self.delay_s)

    def wait(self, job: Job, timeout: float | None = None) -> CompletedRequest:
        assert timeout is not None
        left_s = job.ready_s - time.monotonic()
        time.sleep(max(0.0, min(left_s, timeout)))
        if left_s > timeout:
            raise TimeoutError
        self.held += 1
        return CompletedRequest(self)

    def cancel_all_and_flush(self) -> None:
        self.cancelled += 1

    def stop(self) -> None:
        self.started = False

    def close(self) -> None:
        self.closed = True
