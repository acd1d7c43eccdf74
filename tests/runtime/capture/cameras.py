"""A camera that does what a script says, frame by frame: for tests of what stands behind cameras."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np

from edgeseg.errors import CaptureError
from edgeseg.runtime.capture.live import Captured

GONE, NOTHING = "gone", "nothing"


def picture(value: int, size_hw: tuple[int, int] = (6, 8)) -> np.ndarray:
    return np.full((*size_hw, 3), value, np.uint8)


class ScriptedCamera:
    """Gives the pictures of `script`, one each few milliseconds; `GONE` raises, `NOTHING` waits, and so does the end."""

    passed_over = 0
    fps = 30.0

    def __init__(self, script: Iterable[np.ndarray | str], every_s: float = 0.005) -> None:
        self._script = iter(script)
        self._every_s = every_s
        self.reads = 0
        self.closed = False
        self.size_hw = (6, 8)

    def read(self, patience_s: float) -> Captured | None:
        assert not self.closed
        self.reads += 1
        step = next(self._script, NOTHING)
        if isinstance(step, str):
            if step == GONE:
                raise CaptureError("No such device")
            time.sleep(patience_s)
            return None
        time.sleep(self._every_s)
        return Captured(step, time.monotonic())

    def close(self) -> None:
        self.closed = True


class Port:
    """What a camera is plugged into: each opening takes the next of `cameras`, which may be an error; the last one again."""

    def __init__(self, *cameras: Callable[[], ScriptedCamera] | Exception) -> None:
        self._cameras = list(cameras)
        self.opened: list[ScriptedCamera] = []
        self.attempts: list[float] = []

    def __call__(self) -> ScriptedCamera:
        self.attempts.append(time.monotonic())
        camera = self._cameras.pop(0) if len(self._cameras) > 1 else self._cameras[0]
        if isinstance(camera, Exception):
            raise camera
        self.opened.append(camera())
        return self.opened[-1]
