"""Which of a camera's modes to take: the size and the rate that were asked for, and then the cheapest format."""

from __future__ import annotations

import math
from collections.abc import Iterable

from edgeseg.runtime.capture.v4l2 import Mode

# Formats that `pixels.to_bgr` reads, the cheapest to convert first. Compressed pictures cost four times as much as others and
# are a little worse, so that they are taken only where the others are slower: USB 2 carries YUYV of 720p at some 10 frames/s.
PREFERRED = ("NV12", "YU12", "YV12", "YUYV", "YVYU", "UYVY", "BGR3", "RGB3", "MJPG", "JPEG", "GREY")
DEFAULT_HW = (720, 1280)
FLUENT_FPS = 24.0  # a picture of the default size that moves more slowly is given up for a smaller one
NEAR = 0.9  # of the rate asked for: cameras say 29.97, 28 or 25


def rank(modes: Iterable[Mode], size_hw: tuple[int, int] | None, fps: float) -> list[Mode]:
    """The modes that can be decoded, the best first; empty where there is none.

    size_hw  asked for by the user, and then more important than the rate; None is 720p, or less where 720p is slow
    """
    readable = [mode for mode in modes if mode.fourcc in PREFERRED]
    wanted = size_hw or DEFAULT_HW

    def cost(mode: Mode) -> tuple[float, ...]:
        rate = min(mode.fps if mode.fps is not None else fps, fps)  # who does not say is believed to be fast enough
        slow = 0.0 if rate >= NEAR * fps else fps - rate
        halting = size_hw is None and rate < min(FLUENT_FPS, NEAR * fps)
        return (halting, *distance(mode.size_hw, wanted), slow, PREFERRED.index(mode.fourcc))

    return sorted(readable, key=cost)


def distance(size_hw: tuple[int, int], wanted_hw: tuple[int, int]) -> tuple[float, float]:
    """(of another shape, how much larger or smaller): to be compared in this order."""
    (h, w), (height, width) = size_hw, wanted_hw
    shape = abs(math.log((w / h) / (width / height)))
    return float(shape > 0.02), round(abs(math.log((h * w) / (height * width))) + shape, 3)
