"""Sources, sinks and segmenters for tests: live cameras, things that are slow, things that fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from edgeseg.errors import ModelError
from edgeseg.runtime import NullSession, Shot
from edgeseg.runtime.arrays import Frame, Matte


class Camera:
    """A live camera: frames come when they come. Each carries its number in every pixel of its blue plane."""

    still = False
    path: Path | None = None
    frames: int | None = None  # without an end, as far as it knows
    dropped = 0

    def __init__(self, count: int, interval_s: float = 0.0, size_hw: tuple[int, int] = (90, 160)) -> None:
        self.size_hw, self.fps = size_hw, 30.0
        self._count, self._interval_s = count, interval_s
        self.given = 0

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def __iter__(self) -> Iterator[Shot]:
        for index in range(self._count):
            time.sleep(self._interval_s)
            self.given = index
            yield Shot(numbered(index, self.size_hw), index / self.fps)


def numbered(index: int, size_hw: tuple[int, int] = (90, 160)) -> Frame:
    frame = np.full((*size_hw, 3), 40, np.uint8)
    frame[..., 0] = index
    return frame


class Sink:
    """Keeps copies of what is written; `each` is called with every shot first."""

    def __init__(self, each: Callable[[Shot], object] = lambda shot: None) -> None:
        self.shots: list[Shot] = []
        self.arrays: set[int] = set()
        self._each = each

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def write(self, shot: Shot) -> bool:
        self._each(shot)
        self.arrays.add(shot.frame.__array_interface__["data"][0])
        self.shots.append(shot._replace(frame=shot.frame.copy()))
        return True

    @property
    def numbers(self) -> list[int]:
        """The numbers of the frames, by their times."""
        return [round(30 * shot.time_s) for shot in self.shots]


class Everybody(NullSession):
    """All of every frame is person: what is shown is the frame itself. Slow, and failing for the frames numbered in `bad`."""

    def __init__(self, slow_s: float = 0.0, bad: Callable[[int], bool] = lambda number: False) -> None:
        super().__init__()
        self._slow_s, self._bad = slow_s, bad
        self.seen: list[int] = []

    def matte(self, frame: Frame) -> Matte:
        number = int(frame[0, 0, 0])
        self.seen.append(number)
        time.sleep(self._slow_s)
        if self._bad(number):
            raise ModelError("out of luck")
        return np.ones((64, 64), np.float32)
