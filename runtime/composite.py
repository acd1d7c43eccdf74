"""The person before another background: a blur that takes no colour from the person, and edges without a fringe.

    out = alpha * person + (1 - alpha) * background

All work at full size is in bytes and in place; what is in float is small.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edgeseg.runtime.arrays import Alpha, Frame
from edgeseg.runtime.tensors import shrink

GUARD = 1 / 50  # of the frame's short side: so near to the person the room's own colours are not trusted
THIN = 0.01  # weight of the wider blur that steps in where the room is out of reach; it floors the denominator
STRIP = 16  # rows that are blended at a time: three buffers of them fit in a small core's cache
ROOM_STEP = 8  # the clean room is estimated at an eighth of the frame's size


def masked_blur(frame: Frame, alpha: Alpha, sigma: float, guard: float) -> Frame:
    """`frame` blurred as if the person were not there: blur(frame * b) / blur(b), with b the background's weight.

    A plain blur spreads the person's colours into the room as a halo, and a matte a few pixels too tight lets some of
    it back in; so the person is grown by `guard`, for this weight only. Where no room is in reach, far inside the
    person, each blur falls back on one four times as wide, and the widest on the mean of the room: a soft edge or a hole of
    the matte then shows room, never black.

    frame  (h, w, 3) uint8, small;  alpha  (h, w) uint8;  sigma, guard  in pixels of this small frame
    """
    reach = 2 * max(1, round(guard)) + 1
    grown = cv2.dilate(alpha, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    # Half a person is no room: 1 - 2 alpha, not below 0. Colour and weight go through the same filters, as four planes.
    weight = cv2.LUT(grown, _ROOM_WEIGHT)
    planes = cv2.merge([cv2.multiply(plane, weight, dtype=cv2.CV_32F) for plane in cv2.split(frame)] + [weight])
    height, width = alpha.shape
    coarse = cv2.resize(planes, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    mean = planes.reshape(-1, 4).mean(axis=0)
    if mean[3] * height * width < 1:  # no room is seen at all: there is nothing to keep apart
        return cv2.GaussianBlur(frame, (0, 0), sigma)  # type: ignore[return-value]
    coarse = _gaussian(coarse, sigma) + np.float32(THIN) * (mean / mean[3])
    wide = cv2.resize(coarse / coarse[..., 3:], (width, height), interpolation=cv2.INTER_LINEAR)
    near = cv2.addWeighted(_gaussian(planes, sigma), 1, wide, THIN, 0)
    *colours, total = cv2.split(near)
    return cv2.merge([cv2.divide(plane, total, dtype=cv2.CV_8U) for plane in colours])  # type: ignore[return-value]


_ROOM_WEIGHT = (1 - np.arange(256, dtype=np.float32) * np.float32(2 / 255)).clip(0)


def _gaussian(plane: Any, sigma: float) -> Any:
    """Three box filters in place of a Gaussian above a few pixels: the same to 3 %, at a cost that sigma does not change."""
    if sigma < 3:
        return cv2.GaussianBlur(plane, (0, 0), sigma)
    width = 2 * round((np.sqrt(4 * sigma * sigma + 1) - 1) / 2) + 1  # three boxes of this width have this sigma
    for _ in range(3):
        plane = cv2.blur(plane, (width, width))
    return plane


def clean_room(frame: Frame, alpha: Alpha) -> Frame:
    """An estimate of the room behind the person's edge, (h/8, w/8, 3) uint8, for `blend`."""
    height, width = frame.shape[:2]
    size = max(1, height // ROOM_STEP), max(1, width // ROOM_STEP)
    small_alpha = shrink(alpha, size)
    return masked_blur(shrink(frame, size), small_alpha, 2.0, 1)


def blend(frame: Frame, alpha: Alpha, out: Frame, room: Frame | None = None) -> None:
    """Put the person of `frame` over the background in `out`, in place.

    frame, out  (h, w, 3) uint8, out holding the background;  alpha  (h, w) uint8
    room  the old background without the person, any size. Where a pixel is half person, its colour is half the old room's:
          with `room` that part is taken out first (the matting equation, I = alpha F + (1 - alpha) B, solved for
          alpha F), so that a bright room leaves no fringe before a dark background.
    """
    x, y, w, h = cv2.boundingRect(alpha)
    if not w:
        return
    behind = None if room is None else cv2.resize(room, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    person, rest, other = np.empty((3, STRIP, w, 3), np.uint8)
    for top in range(y, y + h, STRIP):  # strip by strip, so that what lies between the steps stays in the cache
        rows = min(STRIP, y + h - top)
        strip = np.s_[top : top + rows, x : x + w]
        weight = cv2.cvtColor(alpha[strip], cv2.COLOR_GRAY2BGR)
        cv2.bitwise_not(weight, dst=rest[:rows])
        if behind is None:
            cv2.multiply(frame[strip], weight, dst=person[:rows], scale=1 / 255)
        else:
            cv2.multiply(behind[strip], rest[:rows], dst=other[:rows], scale=1 / 255)
            cv2.subtract(frame[strip], other[:rows], dst=person[:rows])
            cv2.min(person[:rows], weight, dst=person[:rows])  # alpha F lies in 0..255 alpha
        cv2.multiply(out[strip], rest[:rows], dst=other[:rows], scale=1 / 255)
        out[strip] = cv2.add(person[:rows], other[:rows], dst=other[:rows])


def veil(frame: Frame, out: Frame) -> None:
    """The whole frame, blurred beyond recognition, into `out`: what is shown while there is no matte."""
    height, width = frame.shape[:2]
    small = cv2.resize(frame, (24, 24), interpolation=cv2.INTER_AREA)
    cv2.resize(cv2.GaussianBlur(small, (0, 0), 1.5), (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
