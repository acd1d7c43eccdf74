"""A camera that needs no hardware: colour bars, and the time painted into the pixels, from which a delay can be read.

    source = ClockCamera()
    ...
    delay_ms = now_ms - read_clock(frame)

The clock stands where `NullSession` sees the person, so that it survives the blur.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from edgeseg.runtime.arrays import Frame, Shot
from edgeseg.runtime.capture.card import write

# The colour bars of ITU-R BT.471 at full strength, BGR: white, yellow, cyan, green, magenta, red, blue, black
BARS = ((255, 255, 255), (0, 255, 255), (255, 255, 0), (0, 255, 0), (255, 0, 255), (0, 0, 255), (255, 0, 0), (0, 0, 0))
ROWS, COLUMNS = 2, 12  # of the clock's cells: 20 bits of milliseconds (17 minutes), then 4 bits that must fit them
BITS, CHECK_BITS = 20, 4
CENTRE = (0.6, 0.5)  # of the clock, as shares of height and width
EXTENT = (0.2, 0.24)


class ClockCamera:
    """Colour bars with a clock, in real time: a slow consumer loses frames. See `capture.Source`.

    frames  how many, or None for no end
    """

    still = False
    path: Path | None = None

    def __init__(self, size_hw: tuple[int, int] = (720, 1280), fps: float = 30.0, frames: int | None = None) -> None:
        self.size_hw = size_hw
        self.fps = fps
        self.frames = frames
        self.dropped = 0
        self._bars = colour_bars(size_hw)

    def __enter__(self) -> ClockCamera:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def __iter__(self) -> Iterator[Shot]:
        start_s = time.monotonic()
        index = 0
        while self.frames is None or index < self.frames:
            late = int((time.monotonic() - start_s) * self.fps) - index
            if late > 0 and self.frames is None:
                self.dropped += late
                index += late
            else:
                time.sleep(max(0.0, start_s + index / self.fps - time.monotonic()))
            yield Shot(self.frame(time.monotonic()), index / self.fps)
            index += 1

    def frame(self, now_s: float) -> Frame:
        """The frame at `now_s` of the monotonic clock."""
        frame = self._bars.copy()
        paint_clock(frame, round(1000 * now_s))
        return frame


def colour_bars(size_hw: tuple[int, int]) -> Frame:
    """Eight upright bars over (height, width)."""
    height, width = size_hw
    row = np.array(BARS, np.uint8)[np.arange(width) * len(BARS) // max(1, width)]
    return np.ascontiguousarray(np.broadcast_to(row, (height, width, 3)))


def paint_clock(frame: Frame, time_ms: int) -> None:
    """Paint `time_ms`, modulo 2^20, into the middle of `frame`: black and white cells, and digits below for people."""
    height, width = frame.shape[:2]
    value = time_ms % (1 << BITS)
    bits = [(value << CHECK_BITS | _check(value)) >> (BITS + CHECK_BITS - 1 - i) & 1 for i in range(ROWS * COLUMNS)]
    for index, bit in enumerate(bits):
        top, bottom, left, right = _cell(index, height, width)
        frame[top:bottom, left:right] = 255 * bit
    at = (round((CENTRE[1] - EXTENT[1] / 2) * width), round((CENTRE[0] + EXTENT[0] / 2 + 0.06) * height))
    write(frame, f"{value / 1000:09.3f}", at, height / 900)


def read_clock(frame: Frame) -> int | None:
    """The milliseconds, modulo 2^20, in a frame of any size that `paint_clock` painted; None where they cannot be read."""
    height, width = frame.shape[:2]
    number = 0
    for index in range(ROWS * COLUMNS):
        top, bottom, left, right = _cell(index, height, width)
        trim_y, trim_x = (bottom - top) // 4, (right - left) // 4  # the rims are smeared by scaling and compression
        cell = frame[top + trim_y : bottom - trim_y, left + trim_x : right - trim_x]
        if not cell.size:
            return None
        number = number << 1 | int(cell.mean() > 127)
    value, check = number >> CHECK_BITS, number & ((1 << CHECK_BITS) - 1)
    return value if check == _check(value) else None


def _check(value: int) -> int:
    """Four bits that a misread clock seldom has: the sum of the value's five nibbles, plus nine so that black is none."""
    return (sum(value >> shift & 15 for shift in range(0, BITS, 4)) + 9) % 16


def _cell(index: int, height: int, width: int) -> tuple[int, int, int, int]:
    row, column = divmod(index, COLUMNS)
    y, x = CENTRE[0] - EXTENT[0] / 2, CENTRE[1] - EXTENT[1] / 2
    ys = [round((y + EXTENT[0] * (row + i) / ROWS) * height) for i in (0, 1)]
    xs = [round((x + EXTENT[1] * (column + i) / COLUMNS) * width) for i in (0, 1)]
    return ys[0], ys[1], xs[0], xs[1]
