"""One frame in all the sizes that anybody asks for, each shrunk once.

The network, the refinement and the blurred background all want the frame small. Halving it is the costliest thing that they do
with it (0.2 ms of 720p), so they share the halves.
"""

from __future__ import annotations

import cv2

from edgeseg.runtime import native
from edgeseg.runtime.arrays import Frame
from edgeseg.runtime.buffers import Buffers
from edgeseg.runtime.tensors import stretch


class Pyramid:
    """`load` a frame, then `shrunk(size)`: byte for byte what `tensors.shrink(frame, size)` gives.

    What it returns lasts until the next `load`.
    """

    def __init__(self) -> None:
        self._buffers = Buffers()
        self._levels: list[Frame] = []  # the frame, its half, its quarter, ...
        self._fitted: dict[tuple[int, int], Frame] = {}

    def load(self, frame: Frame) -> None:
        self._levels = [frame]
        self._fitted = {}

    def at_least(self, size: tuple[int, int]) -> Frame:
        """The smallest halving of the frame that is no smaller than `size` (height, width) on both sides."""
        height, width = size
        depth = 0
        while True:
            level = self._levels[depth]
            rows, columns = level.shape[:2]
            if rows < 2 * height or columns < 2 * width:
                return level
            depth += 1
            if depth == len(self._levels):
                half = self._buffers.take(f"level {depth}", (rows // 2, columns // 2, *level.shape[2:]))
                if level.ndim == 3 and not (rows % 2 or columns % 2) and native.available():
                    native.halve(level, half)
                else:
                    cv2.resize(level, (columns // 2, rows // 2), dst=half, interpolation=cv2.INTER_LINEAR)
                self._levels.append(half)

    def shrunk(self, size: tuple[int, int]) -> Frame:
        """The frame stretched to `size` (height, width) without aliasing."""
        level = self.at_least(size)
        if level.shape[:2] == size:
            return level
        if size not in self._fitted:
            fitted = self._buffers.take(f"{size}", (*size, *level.shape[2:]))
            stretch(level, size, out=fitted)
            self._fitted[size] = fitted
        return self._fitted[size]
