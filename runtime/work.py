"""A frame on its way through the stages, and what a stage is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np

from edgeseg.errors import ShapeError
from edgeseg.runtime.arrays import Alpha, Frame, Matte, Shot
from edgeseg.runtime.buffers import Buffers
from edgeseg.runtime.chunks import Chunks
from edgeseg.runtime.pyramid import Pyramid
from edgeseg.runtime.refinement.refiner import plane_size
from edgeseg.spec import Spec


class Work:
    """What the stages have found out about one frame. Its arrays are used again for a later frame: copy what you keep.

    frame    (h, w, 3) uint8 BGR, contiguous: the room as it is. Never changed and never shown.
    time_s   when it was taken, since the first frame of its source
    name     of the picture file
    notice   to be written over the result, where there is no camera; the frame is empty then
    matte    (h', w') float32 in 0..1, coarse, from the network or carried; None where there is none
    alpha    (h, w) uint8, finished, 255 is the person; None where there is none
    chunks   those of `alpha` that are mixed, and
    coarse   `alpha` as it was before it was enlarged; both None where a stage of yours may have changed `alpha`
    out      (h, w, 3) uint8 BGR, what will be shown
    """

    def __init__(self) -> None:
        self._buffers = Buffers()
        self.pyramid = Pyramid()
        self._alphas = Pyramid()
        self.came_s = 0.0  # on the clock of time.perf_counter: when the frame came from its source

    def load(self, shot: Shot, out: Frame | None = None) -> Work:
        """Begin with a new frame; the result goes to `out`, of its shape and contiguous, or to an array of our own."""
        check(shot.frame)
        self.frame = np.ascontiguousarray(shot.frame)
        self.time_s, self.name, self.notice = shot.time_s, shot.name, shot.notice
        self._small = shot.small
        self.matte: Matte | None = None
        self.alpha: Alpha | None = None
        self.chunks: Chunks | None = None
        self.coarse: Alpha | None = None
        self.out: Frame = self._buffers.take("out", self.frame.shape) if out is None else out
        self.pyramid.load(self.frame)
        return self

    def shot(self) -> Shot:
        """The result."""
        return Shot(self.out, self.time_s, self.name, self.notice, alpha=self.alpha)

    def at_least(self, size: tuple[int, int]) -> Frame:
        """The frame shrunk, but no smaller than `size` (height, width) if it is not itself: for a network."""
        small = self._small
        if small is not None and small.shape[0] >= size[0] and small.shape[1] >= size[1]:
            return small  # the camera has shrunk it for us
        return self.pyramid.at_least(size)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frame."""
        return self.frame.shape[0], self.frame.shape[1]

    @property
    def plane(self) -> Frame:
        """The frame at the size where mattes are refined, at most 320 x 180."""
        return self.pyramid.shrunk(plane_size(*self.size))

    def new_alpha(self) -> Alpha:
        """(h, w) of any content, for `alpha`."""
        return self._buffers.take("alpha", self.size)

    def alpha_shrunk(self, size: tuple[int, int]) -> Alpha:
        """`alpha` at a smaller size (height, width)."""
        assert self.alpha is not None
        enough = self.coarse is not None and self.coarse.shape[0] >= size[0] and self.coarse.shape[1] >= size[1]
        self._alphas.load(self.coarse if enough else self.alpha)  # type: ignore[arg-type]
        return self._alphas.shrunk(size)


Stage: TypeAlias = Callable[[Work], Any]  # looks at a frame's work and changes it, in place; its result is ignored


class Segmenter(Protocol):
    """What finds the person: a `Session`, or anything of yours that can do this much. Called by one thread at a time."""

    @property
    def spec(self) -> Spec:
        """Its `size` says how large a frame it wants to see, `person_class` which class is the person, `model` its name."""

    def matte(self, frame: Frame) -> Matte:
        """(h', w') float32 in 0..1, any size, for `frame` (h, w, 3) uint8 BGR: shrunk, but no smaller than `spec.size` unless
        the camera's frame is. An EdgesegError hides the frame; ten in a row end the run."""


def check(frame: Frame) -> None:
    """ShapeError where `frame` is no (h, w, 3) uint8 array."""
    if frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype == np.uint8 and frame.size:
        return
    remedy = ""
    if frame.dtype == np.uint8 and frame.size and (frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] in (1, 4))):
        colour = "BGRA" if frame.ndim == 3 and frame.shape[2] == 4 else "GRAY"
        remedy = f"; convert it: cv2.cvtColor(frame, cv2.COLOR_{colour}2BGR)"
    raise ShapeError(f"a frame must be (h, w, 3) uint8 BGR, got {frame.shape} {frame.dtype}{remedy}")
