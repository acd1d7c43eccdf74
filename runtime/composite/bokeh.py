"""The blur of a lens: every point becomes a disc, and lights become bright discs.

Two things make it. The kernel is a disc, not a bell; and light is added up as light, not as bytes: (b / 255)^2.2, with what a
camera has clipped at white taken for brighter than it could say.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edgeseg.runtime.buffers import Buffers

GAMMA = 2.2
CLIPPED, BOOST = 0.85, 4.0  # a byte above this share of white stands for up to 1 + BOOST times its light
BANDS = 5  # rectangles that make a quarter of a disc
STEPS = 4096  # of the table that leads back to bytes

_byte = np.arange(256) / 255
_LIGHT = _byte**GAMMA * (1 + BOOST * np.clip((_byte - CLIPPED) / (1 - CLIPPED), 0, 1) ** 2)
# Roots are evenly spaced in the table: dark light needs the finer steps.
_BYTES = np.rint(np.interp((np.arange(STEPS) / (STEPS - 1)) ** 2 * _LIGHT[-1], _LIGHT, np.arange(256))).astype(np.uint8)
_LIGHT_OF_BYTE = (_LIGHT / _LIGHT[-1]).astype(np.float32)


def light_of(bytes_: Any) -> Any:
    """float32 of the same shape: the light of each byte, as a share of the brightest."""
    return cv2.LUT(bytes_, _LIGHT_OF_BYTE)


def bytes_of(light: Any) -> Any:
    """The inverse of `light_of`."""
    index = np.sqrt(np.clip(light, 0, 1)) * np.float32(STEPS - 1) + np.float32(0.5)
    return _BYTES[index.astype(np.uint16)]


def blur_disc(planes: Any, radius: float, buffers: Buffers | None = None) -> Any:
    """`planes` (h, w, c) float32 averaged over discs of `radius` pixels: as differences of boxes, whose size costs nothing."""
    buffers = buffers or Buffers()
    total, box = buffers.take("total", planes.shape, np.float32), buffers.take("box", planes.shape, np.float32)
    total[:] = 0
    count = 0
    for half_height, half_width, sign in _rectangles(radius):
        size = (2 * half_width + 1, 2 * half_height + 1)
        count += sign * size[0] * size[1]
        cv2.boxFilter(planes, -1, size, dst=box, normalize=False, borderType=cv2.BORDER_REFLECT)
        cv2.scaleAdd(box, sign, total, dst=total)
    total *= np.float32(1 / count)
    return total


def _rectangles(radius: float) -> list[tuple[int, int, int]]:
    """(half height, half width, +1 or -1) of boxes that add up to a disc: the chords of each band of rows are equally long."""
    edges = sorted({round(radius * np.sin(np.pi / 2 * (band + 1) / BANDS)) for band in range(BANDS)})
    found: list[tuple[int, int, int]] = []
    inner = -1
    for outer in edges:
        middle = (max(inner, 0) + outer) / 2
        half_width = round(float(np.sqrt(max(0.0, radius**2 - middle**2))))
        found.append((outer, half_width, 1))
        if inner >= 0:
            found.append((inner, half_width, -1))
        inner = outer
    return found
