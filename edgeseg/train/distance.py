"""Distance maps of masks, in pixels, on the CPU. They are constants of a loss: no gradient flows through them."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]  # (h, w)
ClassIds = npt.NDArray[Any]  # (h, w) integers or booleans
Distance = npt.NDArray[np.float32]  # (h, w)


def distance_to(mask: Mask) -> Distance:
    """Euclidean distance of every pixel to the nearest pixel of `mask`, which must hold one."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float32)


def signed_distance(mask: Mask) -> Distance:
    """To the border of `mask`, which runs between the pixels: -0.5 in the outermost pixel inside, 0.5 in the next one.

    0 everywhere where there is no border: the mask is empty or the whole picture.
    """
    if not mask.any() or mask.all():
        return np.zeros(mask.shape, np.float32)
    return np.where(mask, 0.5 - distance_to(~mask), distance_to(mask) - 0.5).astype(np.float32)


def nearest_known(ids: ClassIds, known: Mask) -> ClassIds:
    """`ids` (h, w) with every pixel that is not `known` given the id of the nearest that is; all 0 where none is."""
    if known.all():
        return ids
    if not known.any():
        return np.zeros_like(ids)
    unknown = (~known).astype(np.uint8)
    # One label for every known pixel: 1, 2, ... in the order in which they lie.
    _, nearest = cv2.distanceTransformWithLabels(unknown, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    by_label = np.zeros(int(nearest.max()) + 1, ids.dtype)
    by_label[nearest[known]] = ids[known]
    filled: ClassIds = by_label[nearest]
    return filled


def separation(ids: ClassIds, sigma: float, background: int | None = None) -> Distance:
    """exp(-(d1 + d2)^2 / (2 sigma^2)), with d1 and d2 a pixel's distances to the borders of the nearest two cells: the
    second term of Ronneberger et al. 2015, equation 2, without its factor.

    A cell is a connected region of one class (8 neighbours), other than `background`. 0 where there is one cell only, and
    beyond four sigma (there it is below 0.0004).
    """
    reach = math.ceil(4 * sigma) + 1
    first, second = (np.full(ids.shape, np.inf, np.float32) for _ in range(2))
    for c in np.unique(ids):
        if c == background:
            continue
        count, cells, boxes, _ = cv2.connectedComponentsWithStats((ids == c).astype(np.uint8), connectivity=8)
        for cell in range(1, count):
            x, y, width, height = (int(v) for v in boxes[cell, :4])
            part = (slice(max(0, y - reach), y + height + reach), slice(max(0, x - reach), x + width + reach))
            inside = cells[part] == cell
            if inside.all():
                continue  # it fills the picture
            d = np.where(inside, distance_to(~inside), distance_to(inside)).astype(np.float32)
            second[part] = np.minimum(second[part], np.maximum(first[part], d))
            first[part] = np.minimum(first[part], d)
    near: Distance = np.exp(-((first + second) ** 2) / (2 * sigma**2)).astype(np.float32)
    return near
