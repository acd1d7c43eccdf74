"""The few pixels of a frame that are neither person nor background, eight at a time.

An alpha of 0 or 255 needs no arithmetic: the background stays, or the person is copied. What lies between is some 3 % of a
frame, in eights of neighbouring pixels: chunks, which are gathered into one row, worked on, and put back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeseg.runtime.arrays import Alpha, Frame
from edgeseg.runtime.buffers import Buffers

WIDTH = 8  # pixels of a chunk: one word of an alpha
ROOM = 8192  # chunks that are worked on at a time: what lies between the steps stays in the cache

Indices = npt.NDArray[np.intp]
Pixels = npt.NDArray[np.uint8]  # (n, 8) alphas, or (n, 8, 3) colours

EVERYWHERE = (slice(None), slice(None))

_ALL = np.uint64(2**64 - 1)
_WORD, _COLOURS = np.dtype(np.uint64), np.dtype((np.void, 3 * WIDTH))  # one chunk of an alpha, and of a frame


class Chunks:
    """The mixed chunks of an `alpha` (h, w), contiguous. Pixels are counted row by row, across the ends of rows.

    indices  of the mixed chunks
    alphas   (n, 8) theirs; they last until `buffers` are used for another
    tail     the slice of the last, broken chunk's pixels, seven at most; they are in no chunk

    seen     (rows, columns) outside of which there is nothing of the person: all of them, where that is not known
    """

    def __init__(self, alpha: Alpha, buffers: Buffers, seen: tuple[slice, slice] = EVERYWHERE) -> None:
        self.seen = seen
        words = _items(alpha)
        top, bottom, _ = seen[0].indices(alpha.shape[0])
        first, last = top * alpha.shape[1] // WIDTH, -(-bottom * alpha.shape[1] // WIDTH)
        self.indices: Indices = np.flatnonzero(_mixed(words[first:last], buffers))
        self.indices += first
        self.tail = slice(words.size * WIDTH, alpha.size)
        self.alphas: Pixels = gather(alpha, self.indices, buffers.rows("alphas", len(self.indices), (WIDTH,)))

    def batches(self) -> Iterator[tuple[Indices, Pixels]]:
        """Indices and alphas, ROOM at a time."""
        for start in range(0, len(self.indices), ROOM):
            yield self.indices[start : start + ROOM], self.alphas[start : start + ROOM]


def gather(picture: Frame | Alpha, indices: Indices, out: Pixels) -> Pixels:
    """The chunks `indices` of a contiguous `picture` (h, w) or (h, w, 3), as (len(indices), 8[, 3]) in the front of `out`."""
    chosen = out[: len(indices)]
    if len(indices):
        np.take(_items(picture), indices, out=_items(chosen), mode="clip")  # the mode that needs no copy of `out`
    return chosen


def scatter(picture: Frame | Alpha, indices: Indices, chunks: Pixels) -> None:
    """Put back what `gather` gave."""
    _items(picture)[indices] = _items(chunks)


def _mixed(words: npt.NDArray[Any], buffers: Buffers) -> npt.NDArray[np.bool_]:
    """Which of the words are neither 0 nor all ones."""
    mixed, other = buffers.part("mixed", words.shape, np.bool_), buffers.part("mixed too", words.shape, np.bool_)
    np.not_equal(words, 0, out=mixed)
    np.not_equal(words, _ALL, out=other)
    np.logical_and(mixed, other, out=mixed)
    return mixed


def _items(picture: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """`picture` as a row of opaque items of one chunk each: moved by a copy of so many bytes, not pixel by pixel."""
    kind = _COLOURS if picture.ndim == 3 else _WORD
    flat = picture.reshape(-1)
    return flat[: flat.size // kind.itemsize * kind.itemsize].view(kind)
