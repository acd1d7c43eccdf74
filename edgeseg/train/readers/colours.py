"""Label pictures whose classes are colours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.train.pictures import decode, read_bytes
from edgeseg.train.readers.base import IGNORE, Ids, ItemError


def voc_colours() -> npt.NDArray[np.uint8]:
    """(256, 3) RGB of the VOC colour map: bit 3k + c of the id is bit 7 - k of channel c (VOCdevkit, VOClabelcolormap.m)."""
    ids = np.arange(256)
    bits = [(ids >> (3 * k + c) & 1) << (7 - k) for c in range(3) for k in range(8)]
    channels: npt.NDArray[np.uint8] = np.array(bits, np.uint8).reshape(3, 8, 256).sum(axis=1, dtype=np.uint8)
    return channels.T


def hexadecimal(rgb: object) -> str:
    """#rrggbb of three numbers."""
    return "#" + bytes(np.asarray(rgb, np.uint8)).hex()


def read_colours(path: Path, table: Mapping[tuple[int, int, int], int], stray: float = 0.0) -> Ids:
    """(h, w) ids of a label picture by its RGB colours; palette pictures come as their colours.

    stray  largest share of pixels with a colour that `table` lacks; they are ignored. ItemError beyond
    """
    bgr = np.asarray(decode(read_bytes(path), path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), np.uint8)
    packed = bgr[..., 2].astype(np.int32) << 16 | bgr[..., 1].astype(np.int32) << 8 | bgr[..., 0]
    known = np.array([r << 16 | g << 8 | b for r, g, b in table], np.int32)
    order = np.argsort(known)
    values = np.array(list(table.values()), np.uint8)[order]
    place = np.minimum(np.searchsorted(known[order], packed), len(known) - 1)
    found = known[order][place] == packed
    if found.mean() < 1 - stray:
        first = hexadecimal(bgr[~found][0][::-1])
        raise ItemError("unknown colours", f"{path}: {1 - found.mean():.1%} of the pixels have unknown colours, as {first}")
    return np.where(found, values[place], np.uint8(IGNORE))
