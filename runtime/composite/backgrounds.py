"""What stands behind the person: the room blurred, a colour, a picture, a video, or nothing."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edgeseg.errors import DataError, UsageError
from edgeseg.runtime.arrays import Frame
from edgeseg.runtime.buffers import Buffers
from edgeseg.runtime.capture.source import is_picture
from edgeseg.runtime.capture.video_file import VideoFile
from edgeseg.runtime.composite.masked_blur import Kind, masked_blur
from edgeseg.runtime.picture import read_picture
from edgeseg.runtime.work import Work

GUARD = 1 / 50  # of the frame's short side: so near to the person the room's own colours are not trusted
SMOOTH_PX = 8.0  # sigma of the blur, per row, from which on so many neighbouring rows differ by a byte or two
ALIKE = (2, 3, 4)
KINDS = ("gaussian", "box", "bokeh")
GREEN = "#00b140"  # chroma key green, as studios paint it


class Background(Protocol):
    """Draws what is behind the person."""

    replaces: bool  # nothing of the room is left in it

    def draw(self, work: Work) -> None:
        """Fill `work.out`; `work.alpha` (h, w) tells where the person is. Nothing else of `work` is changed."""

    def close(self) -> None: ...


def open_background(what: str | Path, strength: float = 0.5, kind: Kind = "gaussian") -> Background:
    """A background for "blur", "green", "#rrggbb", "transparent", or the path of a picture or a video.

    strength  of the blur, 0 (slight) .. 1 (only light and colours are left); other backgrounds have none
    kind      of the blur: "gaussian", "box", or "bokeh", the discs of a lens

    Raises UsageError or DataError.
    """
    text = str(what)
    if text == "blur":
        return Blurred(strength, kind)
    if text == "transparent":
        return Transparent()
    if text == "green":
        text = GREEN
    if text.startswith("#"):
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
            raise UsageError(f"background {text!r} is not a colour; write #rrggbb, as in #00b140")
        red, green, blue = bytes.fromhex(text[1:])
        return Picture(np.full((1, 1, 3), (blue, green, red), np.uint8))
    path = Path(what)
    if not path.is_file():
        raise DataError(f"background {text!r} is not blur, green, transparent, a colour (#rrggbb) or a file; give one of these")
    return Picture(read_picture(path)) if is_picture(path) else Video(path)


class Blurred:
    """The room itself, out of focus, with nothing of the person in it."""

    replaces = False

    def __init__(self, strength: float = 0.5, kind: Kind = "gaussian") -> None:
        if not 0 <= strength <= 1:
            raise UsageError(f"strength must be within 0..1, got {strength:g}")
        if kind not in KINDS:
            raise UsageError(f"there is no blur {kind!r}; there are: {', '.join(KINDS)}")
        self._strength = strength
        self._kind = kind
        self._buffers = Buffers()

    def soften(self, work: Work) -> tuple[Frame, int]:
        """The blurred room, small, and how many neighbouring rows are alike once it is enlarged: a divisor of their number.

        It lasts until the next call.
        """
        height, width = work.size
        short = min(height, width)
        sigma = (0.012 + 0.048 * self._strength) * short  # 9 to 43 pixels of 720
        # As small as still leaves the blur wide enough to show no grid once it is enlarged. Discs have edges, and need more.
        least = 5 if self._kind == "bokeh" else 1.6
        step = 2 ** max(0, min(4, int(math.log2(max(1.0, sigma / least)))))
        size = max(1, height // step), max(1, width // step)
        person, guard = work.alpha_shrunk(size), GUARD * short / step
        small = masked_blur(work.pyramid.shrunk(size), person, sigma / step, guard, self._kind, self._buffers)
        return small, max(count for count in (1, *ALIKE) if height % count == 0 and (count == 1 or sigma >= count * SMOOTH_PX))

    def draw(self, work: Work) -> None:
        height, width = work.size
        small, alike = self.soften(work)
        once = work.out if alike == 1 else self._buffers.take("rows", (height // alike, width, 3))
        cv2.resize(small, (width, height // alike), dst=once, interpolation=cv2.INTER_LINEAR)
        if alike > 1:  # copying a row is cheaper than interpolating it
            work.out.reshape(height // alike, alike, width, 3)[:] = once[:, None]

    def close(self) -> None:
        pass


class Picture:
    """A picture, cut to the frame's aspect ratio. One pixel is a picture, too: a colour."""

    replaces = True

    def __init__(self, picture: Frame) -> None:
        self._picture = picture
        self._covering: Frame | None = None

    def draw(self, work: Work) -> None:
        if self._covering is None or self._covering.shape != work.out.shape:
            self._covering = cover(self._picture, work.size)
        np.copyto(work.out, self._covering)

    def close(self) -> None:
        pass


class Transparent:
    """Nothing: what is shown is the person alone, and how much of each pixel that is. Its colour is black."""

    replaces = True

    def draw(self, work: Work) -> None:
        work.out[:] = 0

    def close(self) -> None:
        pass


class Video:
    """A video at its own speed, over and over, cut to the frame's aspect ratio."""

    replaces = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start_s = 0.0  # when this round of the video began
        self._now: Picture | None = None
        self._rewind()

    def _rewind(self) -> None:
        self._file = VideoFile(self._path).__enter__()
        self._shots = iter(self._file)
        self._next = next(self._shots)

    def draw(self, work: Work) -> None:
        time_s = work.time_s
        if time_s < self._start_s:  # the frames' clock has gone back
            self._start_s = time_s
        skipped = 0
        while self._now is None or self._start_s + self._next.time_s <= time_s:
            self._now = Picture(self._next.frame)
            ended = self._next.time_s
            shot = next(self._shots, None)
            if shot is None:
                self._file.__exit__(None, None, None)
                self._start_s += ended + 1 / self._file.fps
                self._rewind()
            else:
                self._next = shot
            skipped += 1
            if skipped > 8:  # too slow, or a jump in time: go on from here, rather than decode for ever
                self._start_s = time_s - self._next.time_s + 1e-3
                break
        self._now.draw(work)

    def close(self) -> None:
        self._file.__exit__(None, None, None)


def cover(picture: Frame, size: tuple[int, int]) -> Frame:
    """`picture` scaled to cover `size` (height, width) and cut to it about its centre; its aspect ratio is kept."""
    height, width = size
    rows, columns = picture.shape[:2]
    scale = max(height / rows, width / columns)
    # Cut first: the rest need not be scaled.
    cut_rows, cut_columns = min(rows, max(1, round(height / scale))), min(columns, max(1, round(width / scale)))
    top, left = (rows - cut_rows) // 2, (columns - cut_columns) // 2
    cut = picture[top : top + cut_rows, left : left + cut_columns]
    return cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)  # type: ignore[return-value]
