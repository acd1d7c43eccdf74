"""Arrays that are made once and used again for every frame: nothing of a frame's size is allocated while a video runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


class Buffers:
    """Arrays by name. Not safe for two threads at once; what is in an array lasts until its name is asked for again."""

    def __init__(self) -> None:
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self._given: dict[str, tuple[tuple[int, ...], npt.DTypeLike, npt.NDArray[Any]]] = {}  # with what it was asked for

    def take(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint8) -> npt.NDArray[Any]:
        """The array of this name, of any content; the same one as before as long as shape and dtype are the same."""
        given = self._given.get(name)
        if given is None or given[0] != shape or given[1] is not dtype:  # to compare dtypes by value takes longer than all else
            given = self._given[name] = shape, dtype, np.empty(shape, dtype)
        return given[2]

    def part(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint8) -> npt.NDArray[Any]:
        """As `take`, for shapes that change from frame to frame: the front of an array that only grows."""
        given = self._given.get(name)
        if given is None or given[0] != shape or given[1] is not dtype:
            count = math.prod(shape)
            array = self._arrays.get(name)
            if array is None or array.size < count or array.dtype != dtype:
                array = self._arrays[name] = np.empty(count, dtype)
            given = self._given[name] = shape, dtype, array[:count].reshape(shape)
        return given[2]

    def rows(self, name: str, count: int, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """(count, *shape) uint8, of any content, out of an array that only grows: for what is another number in every frame."""
        array = self._arrays.get(name)
        if array is None or array.shape[1:] != shape or len(array) < count:
            array = self._arrays[name] = np.empty((count + count // 2, *shape), np.uint8)
        return array[:count]
