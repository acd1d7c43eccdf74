"""Frames that no camera took: an empty one, and words written over one."""

from __future__ import annotations

import cv2
import numpy as np

from edgeseg.runtime.arrays import Frame

GREY = 40


def empty(size_hw: tuple[int, int]) -> Frame:
    """A dark grey frame of (height, width)."""
    return np.full((*size_hw, 3), GREY, np.uint8)


def letterbox(frame: Frame, size_hw: tuple[int, int]) -> Frame:
    """`frame` scaled to fit within `size_hw`, its aspect ratio kept, in the middle of an empty frame."""
    height, width = size_hw
    scale = min(height / frame.shape[0], width / frame.shape[1])
    h, w = max(1, round(frame.shape[0] * scale)), max(1, round(frame.shape[1] * scale))
    box = empty(size_hw)
    top, left = (height - h) // 2, (width - w) // 2
    box[top : top + h, left : left + w] = cv2.resize(
        frame, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    return box


def captioned(frame: Frame, *lines: str) -> Frame:
    """A copy of `frame` with `lines` in its middle, white on dark, so that they can be read on anything.

    ASCII only: OpenCV's letters are no others. They shrink with the frame, and are left out where it is too small for them.
    """
    out = frame.copy()
    height, width = frame.shape[:2]
    longest = max((cv2.getTextSize(line, _FONT, 1.0, 1)[0][0] for line in lines), default=0)
    scale = min(height / 360, 0.8 * width / longest, height / (60 * len(lines))) if longest else 0.0
    if scale < 0.15:
        return out
    step = round(48 * scale)
    for index, line in enumerate(lines):
        (w, h), _ = cv2.getTextSize(line, _FONT, scale, _thickness(scale))
        write(out, line, ((width - w) // 2, (height + h) // 2 + round((index - (len(lines) - 1) / 2) * step)), scale)
    return out


def labelled(frame: Frame, *lines: str) -> None:
    """Write `lines` into the upper left corner of `frame`, in place."""
    scale = max(0.35, frame.shape[0] / 900)
    for index, line in enumerate(lines):
        write(frame, line, (round(16 * scale), round(44 * scale * (index + 1))), scale)


def write(frame: Frame, line: str, at: tuple[int, int], scale: float) -> None:
    """`line` with the lower left corner of its first letter at (x, y), white on a dark box, in place."""
    thick, rim = _thickness(scale), round(8 * scale)
    (w, h), below = cv2.getTextSize(line, _FONT, scale, thick)
    x, y = at
    # A box, not an outline: OpenCV 5 makes thicker letters wider as well.
    cv2.rectangle(frame, (x - rim, y - h - rim), (x + w + rim, y + below + rim // 2), (GREY,) * 3, cv2.FILLED)
    cv2.putText(frame, line, at, _FONT, scale, (255, 255, 255), thick, cv2.LINE_AA)


_FONT = cv2.FONT_HERSHEY_SIMPLEX


def _thickness(scale: float) -> int:
    return max(1, round(1.5 * scale))
