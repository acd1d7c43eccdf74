"""Constants that are one 2x2 pattern over a whole feature map, as the order in which max-unpooling breaks ties is.

A file need hold only the pattern. The two formats have an operator that repeats it: `tflite_patterns.py`, `onnx_patterns.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE = 4096  # bytes; below, the operator and its operands take a good part of what the pattern spares
SIDE = 2


def repeated_corner(values: NDArray[Any], rows: int) -> NDArray[Any] | None:
    """The 2x2 corner of `values` that, repeated, is all of them to the bit; None where there is none, or little to spare.

    rows  the axis of the rows; that of the columns is the next. All axes before it must be of length 1.
    """
    if values.nbytes < LARGE or rows + 2 > values.ndim or any(n != 1 for n in values.shape[:rows]):
        return None
    height, width = values.shape[rows : rows + 2]
    if height % SIDE or width % SIDE or height * width == SIDE * SIDE:
        return None
    corner = values[(slice(None),) * rows + (slice(SIDE), slice(SIDE))]
    whole = np.tile(corner, multiples(values.shape, rows))
    return np.ascontiguousarray(corner) if whole.tobytes() == values.tobytes() else None


def multiples(shape: tuple[int, ...], rows: int) -> tuple[int, ...]:
    """How often the corner is repeated along each axis of `shape`."""
    return tuple(n // SIDE if axis in (rows, rows + 1) else 1 for axis, n in enumerate(shape))
