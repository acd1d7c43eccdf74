"""COCO's run-length encodings: runs of zeros and ones in turn, zeros first, column by column.

The compressed form is that of `maskApi.c` (rleToString and rleFrString, cocodataset/cocoapi): from the fourth run on the
difference to the run before the last; each number in groups of 5 bits, least first, as characters from "0" (48) on, bit 5
set where more follow; the last group's bit 4 is the sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from edgeseg.train.readers.shapes import Mask, bad_shape, from_runs


def decompress(text: str) -> list[int]:
    """Run lengths from a compressed string; ItemError for one that is none."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 60:
            raise bad_shape(f"a run-length string with {character!r}")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise bad_shape("a run-length string that is cut off")
    return counts


def compress(counts: Sequence[int]) -> str:
    """The inverse of `decompress`."""
    text = []
    for i, count in enumerate(counts):
        value = count - (counts[i - 2] if i > 2 else 0)
        while True:
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)
            text.append(chr(48 + (group | 32 if more else group)))
            if not more:
                break
    return "".join(text)


def to_runs(mask: Mask) -> list[int]:
    """Run lengths of a mask, column by column, zeros first."""
    flat = np.concatenate([[False], mask.reshape(-1, order="F")])
    edges = np.flatnonzero(np.diff(flat)).tolist()
    return [end - start for start, end in pairwise([0, *edges, mask.size])]


def decode(rle: Any, height: int, width: int) -> Mask:
    """The mask of {"size": [h, w], "counts": [...] or "..."}; ItemError where it does not fit the picture."""
    if not isinstance(rle, dict) or rle.get("size") != [height, width]:
        raise bad_shape(f"run lengths of a mask that is not {height}x{width} pixels")
    counts = rle.get("counts")
    if isinstance(counts, str):
        counts = decompress(counts)
    if not isinstance(counts, list):
        raise bad_shape("run lengths without counts")
    return from_runs(counts, height, width, by_columns=True)
