"""From the network's coarse matte to a finished one: fitted to the picture's edges, shaped, enlarged.

    matte (64, 64) -> Smoother, LargestPerson -> plane, by guided filter -> reshape -> full size -> smoothstep

The plane is the frame shrunk to at most 320 x 180 (or 180 x 320): all work in float is done there or below, and only the last
two steps, in bytes, at full size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.errors import UsageError
from edgeseg.runtime import native
from edgeseg.runtime.arrays import Alpha, Frame, Matte
from edgeseg.runtime.buffers import Buffers
from edgeseg.runtime.chunks import Chunks, scatter
from edgeseg.runtime.refinement.bilateral import JointBilateral
from edgeseg.runtime.refinement.guided import GuidedFilter
from edgeseg.runtime.refinement.morphology import fill_holes, reshape
from edgeseg.runtime.tensors import shrink

LONG_SIDE, SHORT_SIDE = 320, 180  # of the plane
HOLES = 0.2  # of the person's area: a print on a shirt is smaller
LOW, HIGH = 0.25, 0.75  # the smoothstep: a matte below LOW is background, above HIGH person

Edges = Literal["guided", "bilateral", "plain"]
EDGES = {"guided": GuidedFilter, "bilateral": JointBilateral}


@dataclass(frozen=True)
class Refinement:
    """How a matte is refined. Radii are in pixels of the plane, which has 180 lines.

    edges    "guided" or "bilateral": fitted to the picture's edges by that filter; "plain": only enlarged
    opening  removes specks thinner than twice this;  closing  fills such gaps
    growth   moves the outline outwards, or inwards where negative
    holes    share of the person's area up to which a hole inside of it is filled, as by `fill_holes`; 0 fills none
    """

    edges: Edges = "guided"
    opening: int = 0
    closing: int = 0
    growth: int = 0
    holes: float = HOLES

    def __post_init__(self) -> None:
        if self.edges not in (*EDGES, "plain"):
            raise UsageError(f"there is no way {self.edges!r} to find edges; there are: {', '.join(EDGES)}, plain")
        if self.opening < 0 or self.closing < 0 or max(self.opening, self.closing, abs(self.growth)) > 20:
            raise UsageError(f"opening and closing must be 0..20 pixels, growth -20..20; got {self}")
        if not 0 <= self.holes <= 1:
            raise UsageError(f"holes must be a share of 0..1 of the person's area, got {self.holes:g}")


class Refiner:
    """`fit` a matte to the plane, `finish` it at full size; buffers are kept from frame to frame."""

    def __init__(self, how: Refinement | None = None) -> None:
        self.how = how or Refinement()
        self._filter = None if self.how.edges == "plain" else EDGES[self.how.edges]()
        self._buffers = Buffers()

    def fit(self, small: Frame, matte: Matte) -> Alpha:
        """`matte` (h', w') float32 in 0..1 along the edges of the plane `small` (h, w, 3) uint8 BGR; (h, w) uint8.

        The result lasts until the next call.
        """
        if self.how.holes:
            matte = fill_holes(matte, self.how.holes)
        if self._filter is None:
            size = (small.shape[0], small.shape[1])
            plane: Alpha = cv2.convertScaleAbs(enlarge(matte, size), alpha=255)  # type: ignore[assignment]
        else:
            plane = self._filter(small, matte)
        return reshape(plane, self.how.opening, self.how.closing, self.how.growth)

    def finish(self, plane: Alpha, out: Alpha) -> Chunks | None:
        """Enlarge the plane into `out` (h, w), its ramp steepened by one smoothstep; never cut off before that.

        Returns what of `out` is neither 0 nor 255, where that has been found on the way; it lasts until the next call.
        """
        if native.available():
            native.finish(np.ascontiguousarray(plane), out)
            return None
        seen = _enlarge_seen(plane, out)
        # Below LOW and above HIGH by saturation, which is cheap; the step itself only where a pixel lies between.
        rows = out[seen[0]].reshape(1, -1)  # OpenCV takes a scalar for an array where it meets one of 4 x 1
        cv2.subtract(rows, _FIRST, dst=rows)  # type: ignore[call-overload]
        cv2.add(rows, rows, dst=rows)
        chunks = Chunks(out, self._buffers, seen)
        if len(chunks.indices):
            cv2.LUT(chunks.alphas, _STEP, dst=chunks.alphas)
            scatter(out, chunks.indices, chunks.alphas)
        if chunks.tail.stop > chunks.tail.start:
            tail = out.reshape(-1)[chunks.tail]
            tail[:] = _STEP[tail]
        return chunks

    def step(self, plane: Alpha) -> Alpha:
        """The plane's own alpha: what `finish` makes of it, at its own size."""
        return cv2.LUT(plane, _STEP_ALONE, dst=self._buffers.take("stepped", plane.shape))  # type: ignore[return-value]


def plane_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the plane for a frame: the frame halved until it fits, or scaled where halving cannot."""
    scale = min(1.0, LONG_SIDE / max(height, width), SHORT_SIDE / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def refine(frame: Frame, matte: Matte, how: Refinement | None = None) -> Alpha:
    """A finished matte at the frame's size: `matte` fitted to the edges of `frame`.

    frame  (h, w, 3) uint8 BGR
    matte  (h', w') float32 in 0..1, any size; it covers the whole frame
    returns  (h, w) uint8, 255 is the person
    """
    refiner = Refiner(how)
    alpha = np.empty(frame.shape[:2], np.uint8)
    refiner.finish(refiner.fit(shrink(frame, plane_size(*frame.shape[:2])), matte), alpha)
    return alpha


def smoothstep(x: npt.NDArray[np.float64], low: float = LOW, high: float = HIGH) -> npt.NDArray[np.float64]:
    """0 below `low`, 1 above `high`, and 3t^2 - 2t^3 between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def enlarge(matte: Matte, size: tuple[int, int]) -> Matte:
    """`matte` at `size` (height, width) by cubic interpolation, which keeps slanted edges free of stairs."""
    if matte.shape == size:
        return matte
    return np.clip(cv2.resize(matte, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), 0, 1)


def _enlarge_seen(plane: Alpha, out: Alpha) -> tuple[slice, slice]:
    """`plane` at the size of `out` by linear interpolation, where there is anything in it; byte for byte as if everywhere.

    Returns the rows and columns outside of which `out` is empty.
    """
    (height, width), (rows, columns) = out.shape, plane.shape
    down, right = height // rows, width // columns
    x, y, w, h = cv2.boundingRect(plane)
    if (rows * down, columns * right) != (height, width):  # it has no part that can stand alone
        cv2.resize(plane, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
        return slice(0, height), slice(0, width)
    # With a rim of zeros around what is seen, the part's edges are interpolated as they are inside the whole.
    top, left, bottom, end = max(0, y - 1), max(0, x - 1), min(rows, y + h + 1), min(columns, x + w + 1)
    seen = slice(top * down, bottom * down), slice(left * right, end * right)
    out[: seen[0].start] = out[seen[0].stop :] = 0
    out[seen[0], : seen[1].start] = out[seen[0], seen[1].stop :] = 0
    part = plane[top:bottom, left:end]
    cv2.resize(part, (part.shape[1] * right, part.shape[0] * down), dst=out[seen], interpolation=cv2.INTER_LINEAR)
    return seen


_FIRST = int(np.ceil(255 * LOW))  # the first byte above LOW
# What a byte x becomes, addressed by the saturated 2 (x - _FIRST): the smoothstep rises from LOW to HIGH, half of 0..255.
_STEP = np.rint(255 * smoothstep((np.arange(256) / 2 + _FIRST) / 255)).astype(np.uint8)
_STEP_ALONE = np.rint(255 * smoothstep(np.arange(256) / 255)).astype(np.uint8)
