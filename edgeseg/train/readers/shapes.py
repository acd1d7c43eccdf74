"""Drawn shapes as pixels. A pixel belongs to a shape where its centre, (x + 0.5, y + 0.5), lies inside.

Coordinates are those of LabelMe, CVAT, VIA and COCO: x to the right, y down, (0, 0) the corner of the first pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edgeseg.picture_size import MAX_PIXELS
from edgeseg.train.readers.base import ItemError

Mask = npt.NDArray[np.bool_]  # (h, w)

MAX_POINTS = 100_000


def bad_shape(what: str) -> ItemError:
    """What every function here raises for a shape that cannot be drawn."""
    return ItemError("broken annotations", what)


def canvas(height: object, width: object) -> Mask:
    """An empty mask; ItemError for a size that is none, or too large to be true."""
    named = f"a picture of {str(height)[:20]}x{str(width)[:20]} pixels; at most {MAX_PIXELS:,} are read"
    if not isinstance(height, int) or not isinstance(width, int) or isinstance(height, bool) or isinstance(width, bool):
        raise bad_shape(named)
    if height <= 0 or width <= 0 or height * width > MAX_PIXELS:
        raise bad_shape(named)
    return np.zeros((height, width), bool)


def numbers(values: object) -> npt.NDArray[np.float64]:
    """Any nesting of numbers as an array; ItemError for what is not finite or no number, or more than can be meant."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise bad_shape(f"coordinates that are no numbers: {str(values)[:40]}") from None
    if array.size > 2 * MAX_POINTS or not np.isfinite(array).all() or (np.abs(array) > 1e9).any():
        raise bad_shape(f"{array.size} coordinates, some infinite or far outside" if array.size else "no coordinates")
    return array


def polygon(mask: Mask, points: object) -> None:
    """Fill the polygon [[x, y], ...] or [x, y, x, y, ...] by the even-odd rule; ItemError for fewer than three points."""
    xy = numbers(points).reshape(-1)
    if xy.size < 6 or xy.size % 2:
        raise bad_shape(f"a polygon of {xy.size / 2:g} points")
    start = xy.reshape(-1, 2)
    end = np.roll(start, -1, axis=0)
    first = max(0, math.floor(start[:, 1].min()))
    last = min(mask.shape[0], math.ceil(start[:, 1].max()) + 1)
    if last <= first:
        return
    centres = np.arange(first, last) + 0.5
    toggles = np.zeros((last - first, mask.shape[1] + 1), np.int32)
    step = max(1, (1 << 22) // len(centres))  # edges at once, so that memory stays below 100 MB
    for at in range(0, len(start), step):
        (x0, y0), (x1, y1) = start[at : at + step].T, end[at : at + step].T
        row, edge = np.nonzero((y0 <= centres[:, None]) != (y1 <= centres[:, None]))
        x = x0[edge] + (centres[row] - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
        # The first pixel whose centre is not left of the crossing; from there on, inside and outside change places.
        np.add.at(toggles, (row, np.clip(np.ceil(x - 0.5), 0, mask.shape[1]).astype(np.intp)), 1)
    mask[first:last] |= (np.cumsum(toggles, axis=1)[:, :-1] & 1).astype(bool)


def rectangle(mask: Mask, corner: object, opposite: object, degrees: float = 0.0) -> None:
    """Fill the rectangle between two corners (x, y), turned clockwise about its centre."""
    (x0, y0), (x1, y1) = _pair(corner), _pair(opposite)
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    middle = corners.mean(axis=0)
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    polygon(mask, (corners - middle) @ np.array([(c, s), (-s, c)]) + middle if degrees else corners)


def ellipse(mask: Mask, centre: object, radii: object, radians: float = 0.0) -> None:
    """Fill the ellipse about (x, y) with radii (rx, ry), turned clockwise on the screen."""
    (cx, cy), (rx, ry) = _pair(centre), _pair(radii)
    if rx <= 0 or ry <= 0:
        raise bad_shape(f"an ellipse with radii {rx:g} and {ry:g}")
    reach = max(rx, ry)
    top, bottom = (min(max(0, v), mask.shape[0]) for v in (math.floor(cy - reach), math.ceil(cy + reach)))
    left, right = (min(max(0, v), mask.shape[1]) for v in (math.floor(cx - reach), math.ceil(cx + reach)))
    y = np.arange(top, bottom)[:, None] + 0.5 - cy
    x = np.arange(left, right)[None] + 0.5 - cx
    c, s = math.cos(radians), math.sin(radians)
    mask[top:bottom, left:right] |= ((x * c + y * s) / rx) ** 2 + ((y * c - x * s) / ry) ** 2 <= 1


def stroke(mask: Mask, points: object, width: float = 1.0) -> None:
    """Draw the open line through [[x, y], ...], `width` pixels wide."""
    xy = numbers(points).reshape(-1)
    if xy.size < 4 or xy.size % 2:
        raise bad_shape(f"a line of {xy.size / 2:g} points")
    for (x0, y0), (x1, y1) in pairwise(xy.reshape(-1, 2).tolist()):
        length = math.hypot(x1 - x0, y1 - y0)
        if length:
            dx, dy = (y0 - y1) / length * width / 2, (x1 - x0) / length * width / 2  # to the side, at a right angle
            polygon(mask, [x0 + dx, y0 + dy, x1 + dx, y1 + dy, x1 - dx, y1 - dy, x0 - dx, y0 - dy])


def from_runs(counts: Sequence[int] | npt.NDArray[np.int64], height: int, width: int, by_columns: bool) -> Mask:
    """The mask of run lengths that begin with zeros. ItemError where they do not fill it exactly."""
    shape = canvas(height, width).shape
    try:
        runs = np.asarray(counts, np.int64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        raise bad_shape("run lengths that are no numbers") from None
    # Compared before they are summed: a sum of hostile lengths may wrap around to the right number.
    if (runs < 0).any() or (runs > height * width).any() or runs.sum() != height * width:
        raise bad_shape(f"run lengths that do not fill {height}x{width} pixels")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(shape, order="F" if by_columns else "C")


def _pair(values: object) -> tuple[float, float]:
    array = numbers(values).reshape(-1)
    if array.size != 2:
        raise bad_shape(f"{array.size} numbers where x and y were expected")
    return float(array[0]), float(array[1])
