"""How well outlines match: the boundary F-measure, and the Hausdorff distance.

Some data sets draw the outline itself as "not labelled": in Pascal VOC a ring of about five pixels around every object. There
the true boundary is somewhere in the ring, so its middle is taken: a pixel of the ring gets the label of the nearest
labelled one. This is done where what is unknown is so narrow that its middle is within the tolerance of both its sides;
wider unknown areas stay unknown, and no boundary inside them or at their edge is judged.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from edgeseg.train.distance import ClassIds, Mask, distance_to, nearest_known

TOLERANCE = 0.008  # share of the image diagonal, as DAVIS has it (Perazzi et al. 2016)
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)  # a pixel and its four neighbours


class Outline(NamedTuple):
    """How two boundaries differ. The distances are in pixels."""

    f: float  # boundary F-measure
    hausdorff: float  # the longest way from a boundary pixel of either to the nearest of the other
    hausdorff_95: float  # the same of the 95th percentile in each direction


def compare_outlines(prediction: Mask, truth: Mask, known: Mask | None = None, tolerance: float = TOLERANCE) -> Outline | None:
    """Of two masks (h, w). A boundary pixel is one of the mask with a neighbour outside it; the image's edge is no boundary,
    nor is the edge of what is not `known`.

    F (Csurka et al. 2013; the DAVIS benchmark's): precision is the share of the prediction's boundary pixels that lie within
    `tolerance` (a share of the diagonal, at least one pixel, Euclidean) of a true boundary pixel, recall the reverse.

    None where neither has a boundary (an empty prediction on an empty truth, say): there is nothing to judge. Where only one
    has, F is 0 and the distances are the diagonal, the longest there could be.
    """
    known = np.ones_like(truth, bool) if known is None else known
    a, b = boundary_pixels(prediction, known), boundary_pixels(truth, known)
    if not a.any() and not b.any():
        return None
    diagonal = math.hypot(*truth.shape)
    if not a.any() or not b.any():
        return Outline(0.0, diagonal, diagonal)
    reach = reach_of(truth.shape, tolerance)
    to_truth, to_prediction = distance_to(b)[a], distance_to(a)[b]
    precision, recall = float((to_truth <= reach).mean()), float((to_prediction <= reach).mean())
    f = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    worst = max(float(to_truth.max()), float(to_prediction.max()))
    return Outline(f, worst, max(float(np.percentile(d, 95)) for d in (to_truth, to_prediction)))


def boundary_f(prediction: Mask, truth: Mask, known: Mask | None = None, tolerance: float = TOLERANCE) -> float | None:
    """F of `compare_outlines`, in 0..1."""
    outline = compare_outlines(prediction, truth, known, tolerance)
    return None if outline is None else outline.f


def bridge(ids: ClassIds, known: Mask, tolerance: float = TOLERANCE) -> tuple[ClassIds, Mask]:
    """`ids` and `known` (h, w), with narrow unknown areas given the ids of their nearest known pixels.

    Narrow: no square of 2 r + 1 pixels fits in, with r the tolerance in pixels.
    """
    if known.all():
        return ids, known
    reach = reach_of(ids.shape, tolerance)
    side = 2 * reach + 1
    # What lies outside of the picture counts as unknown too: a wide area does not grow narrow at the edge.
    unknown = np.pad((~known).astype(np.uint8), side, constant_values=1)
    opened = cv2.morphologyEx(unknown, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    wide = opened[side:-side, side:-side].astype(bool)
    return np.where(wide, ids, nearest_known(ids, known)), ~wide


def boundary_pixels(mask: Mask, known: Mask) -> Mask:
    """Those of `mask` with one of four neighbours outside it, both known; bool (h, w)."""
    beside_outside: Mask = cv2.dilate((~mask & known).astype(np.uint8), CROSS).astype(bool)
    return mask & known & beside_outside


def reach_of(size: tuple[int, ...], tolerance: float = TOLERANCE) -> int:
    """The tolerance in whole pixels of an image of (height, width)."""
    return math.ceil(tolerance * math.hypot(*size))
