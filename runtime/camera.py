"""Live cameras: a webcam, read by its own thread so that it never falls behind, and a synthetic one for tests."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from edgeseg.errors import CaptureError
from edgeseg.runtime.arrays import Alpha, Frame, Shot
from edgeseg.runtime.quiet import quiet_stderr

PATIENCE_S = 3.0  # without a frame for this long, a camera is gone: unplugged, or taken by another program


class Webcam:
    """Camera `number` (of /dev/videoN) at 1280x720 and 30 frames/s if it can. See `capture.Source`.

    A thread keeps only the newest frame: a slow consumer loses frames (`dropped`) and gains no delay.
    """

    still = False
    path: Path | None = None
    frames: int | None = None

    def __init__(self, number: int = 0, size_hw: tuple[int, int] = (720, 1280), fps: float = 30.0) -> None:
        self.number = number
        self.size_hw = size_hw
        self.fps = fps
        self.dropped = 0
        self._newest: tuple[Frame, float] | None = None
        self._ended = False
        self._arrived = threading.Condition()

    def __enter__(self) -> Webcam:
        with quiet_stderr():
            camera = cv2.VideoCapture(self.number, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
            if camera.isOpened():
                # MJPG first: uncompressed, USB 2 carries 720p at some 10 frames/s only.
                camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
                camera.set(cv2.CAP_PROP_FRAME_WIDTH, self.size_hw[1])
                camera.set(cv2.CAP_PROP_FRAME_HEIGHT, self.size_hw[0])
                camera.set(cv2.CAP_PROP_FPS, self.fps)
            good, frame = camera.read() if camera.isOpened() else (False, None)
        if not good or frame is None:
            camera.release()
            raise CaptureError(
                f"camera {self.number} cannot be opened: it does not exist, is in use, or you are not in group video; "
                "see: edgeseg doctor"
            )
        self.size_hw = (frame.shape[0], frame.shape[1])
        self.fps = camera.get(cv2.CAP_PROP_FPS) or self.fps
        self._camera = camera
        self._thread = threading.Thread(target=self._grab, name="edgeseg-camera", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended = True
        self._thread.join(PATIENCE_S)
        with quiet_stderr():  # OpenCV warns about a device that is gone
            self._camera.release()

    def __iter__(self) -> Iterator[Shot]:
        start = None
        while True:
            with self._arrived:
                if not self._arrived.wait_for(lambda: self._newest is not None or self._ended, PATIENCE_S + 1):
                    self._ended = True
                if self._newest is None:
                    raise CaptureError(f"camera {self.number} gives no more frames; was it unplugged?")
                frame, taken_s = self._newest
                self._newest = None
            start = taken_s if start is None else start
            yield Shot(frame, taken_s - start)

    def _grab(self) -> None:
        last_s = time.monotonic()
        while not self._ended:
            good, frame = self._camera.read()
            now_s = time.monotonic()
            if good and frame is not None:
                last_s = now_s
                with self._arrived:
                    self.dropped += self._newest is not None
                    self._newest = (frame, now_s)  # type: ignore[assignment]
                    self._arrived.notify()
            elif now_s - last_s > PATIENCE_S:
                break
            else:
                time.sleep(0.02)  # a camera may miss a frame; never spin on one that is gone
        with self._arrived:
            self._ended = True
            self._arrived.notify()


class SyntheticCamera:
    """A moving red disc (the person) before a striped wall: frames that are known exactly. See `capture.Source`.

    `alpha(index)` is the true matte of frame `index`, so a test can tell a mask that comes a frame late.
    """

    still = False
    path: Path | None = None
    dropped = 0

    def __init__(self, size_hw: tuple[int, int] = (180, 320), fps: float = 30.0, frames: int = 10) -> None:
        self.size_hw = size_hw
        self.fps = fps
        self.frames: int | None = frames
        self._count = frames
        height, width = size_hw
        stripes = (np.arange(width) // max(1, width // 20)) % 2
        self._wall = np.empty((height, width, 3), np.uint8)
        self._wall[:] = np.where(stripes[:, None], (200, 160, 60), (60, 160, 90))

    def __enter__(self) -> SyntheticCamera:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def __iter__(self) -> Iterator[Shot]:
        for index in range(self._count):
            yield Shot(self.frame(index), index / self.fps)

    def frame(self, index: int) -> Frame:
        frame = self._wall.copy()
        frame[self.alpha(index) > 0] = (40, 40, 220)
        return frame

    def alpha(self, index: int) -> Alpha:
        """(h, w) 255 inside the disc: radius h/4, from a quarter of the width, 5 % of the width further each frame."""
        height, width = self.size_hw
        x = width * (0.25 + 0.05 * (index % 10))
        rows, columns = np.ogrid[:height, :width]
        inside = (rows + 0.5 - height / 2) ** 2 + (columns + 0.5 - x) ** 2 <= (height / 4) ** 2
        return inside.astype(np.uint8) * np.uint8(255)
