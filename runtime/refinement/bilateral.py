"""Joint bilateral up-sampling: a coarse matte is enlarged, with the picture's colours telling which samples belong together.

Kopf, Cohen, Lischinski & Uyttendaele, "Joint Bilateral Upsampling", 2007. Unlike the guided filter it makes no colour of the
picture shine through where the matte is wrong; it costs about four times as much.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edgeseg.runtime.arrays import Alpha, Frame, Matte
from edgeseg.runtime.buffers import Buffers
from edgeseg.runtime.tensors import shrink

STRIDE = 4  # a sample of the matte for every fourth pixel of the guide along both axes
REACH = 2  # samples to each side
SPACE = 2.0  # sigma of the distance, in strides
RANGE = 20.0  # sigma of the difference in colour, in bytes: that of the channel that differs most


class JointBilateral:
    """See `guided.GuidedFilter`, in whose place it can stand."""

    def __init__(self) -> None:
        self._buffers = Buffers()
        side = range(-REACH, REACH + 1)
        of_colour = np.exp(-(np.arange(256) ** 2) / (2 * RANGE**2))
        # A weight of 1 at the least for the nearest sample: no pixel is without any.
        self._taps = [
            (down, right, np.rint(255 * np.exp(-(down**2 + right**2) / (2 * SPACE**2)) * of_colour).astype(np.uint8))
            for down in side
            for right in side
        ]
        self._taps[len(self._taps) // 2][2][:] = np.maximum(self._taps[len(self._taps) // 2][2], 1)

    def __call__(self, guide: Frame, matte: Matte) -> Alpha:
        """`matte` (h', w') float32 in 0..1 at the size of `guide` (h, w, 3) uint8; (h, w) uint8, until the next call."""
        height, width = guide.shape[:2]
        grid = (-(-height // STRIDE), -(-width // STRIDE))
        take = self._buffers.take
        samples = self._spread(cv2.convertScaleAbs(shrink(matte, grid), alpha=255))  # type: ignore[arg-type]
        colours = [self._spread(plane) for plane in cv2.split(cv2.resize(guide, grid[::-1], interpolation=cv2.INTER_LINEAR))]
        planes = cv2.split(guide)
        total, weights = take("total", (height, width), np.float32), take("weights", (height, width), np.float32)
        total[:] = weights[:] = 0
        difference, one, weight = (take(name, (height, width)) for name in ("difference", "one", "weight"))
        for down, right, table in self._taps:
            top, left = (REACH + down) * STRIDE, (REACH + right) * STRIDE
            there = np.s_[top : top + height, left : left + width]
            difference[:] = 0
            for plane, colour in zip(planes, colours, strict=True):
                cv2.max(difference, cv2.absdiff(plane, colour[there], dst=one), dst=difference)
            cv2.LUT(difference, table, dst=weight)
            cv2.accumulateProduct(samples[there], weight, total)
            cv2.accumulate(weight, weights)
        np.divide(total, weights, out=total)
        return cv2.convertScaleAbs(total, dst=take("q", (height, width)))  # type: ignore[return-value]

    def _spread(self, grid: Any) -> Any:
        """Every sample as STRIDE x STRIDE pixels, with REACH samples more on each side: a tap is then a slice of it."""
        padded = cv2.copyMakeBorder(grid, REACH, REACH, REACH, REACH, cv2.BORDER_REPLICATE)
        return padded.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)
