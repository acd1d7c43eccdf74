"""The newest frame for several viewers, compressed once for all of them and only while there are any."""

from __future__ import annotations

import threading
from collections.abc import Generator

import cv2

from edgeseg.runtime.arrays import Frame

QUALITY = 80


class Newest:
    """`put` never waits for a viewer; `jpegs` gives each viewer the newest frame whenever that viewer is ready for another."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._frame: Frame | None = None
        self._number = 0
        self._ended = False
        self._compressing = threading.Lock()
        self._jpeg: tuple[int, bytes] = (0, b"")
        self.waiting = 0  # viewers

    def put(self, frame: Frame) -> None:
        """Offer `frame`, which stays the caller's: it is copied, where somebody looks."""
        if not self.waiting:
            return
        copy = frame.copy()
        with self._arrived:
            self._frame, self._number = copy, self._number + 1
            self._arrived.notify_all()

    def end(self) -> None:
        """There will be no more; every viewer's iteration ends."""
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()

    def jpegs(self, patience_s: float | None = None) -> Generator[bytes, None, None]:
        """Each newest frame as JPEG; ends where none comes within `patience_s`."""
        with self._arrived:
            self.waiting += 1
            seen = self._number  # an older one may be very old
        try:
            while True:
                with self._arrived:
                    arrived = self._arrived.wait_for(lambda: self._number > seen or self._ended, patience_s)  # noqa: B023
                    if not arrived or self._ended or self._frame is None:
                        return
                    frame, seen = self._frame, self._number
                yield self._compressed(frame, seen)
        finally:
            with self._arrived:
                self.waiting -= 1

    def _compressed(self, frame: Frame, number: int) -> bytes:
        with self._compressing:
            if self._jpeg[0] < number:
                good, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
                self._jpeg = number, data.tobytes() if good else b""
            return self._jpeg[1]
