"""Class weights for unbalanced labels, from counts of pixels.

A class without a pixel gets the weight 0 by median frequency, which would divide by nothing; ENet's formula bounds it itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

ENET_C = 1.02


def shares(pixels: Sequence[int]) -> list[float]:
    """Share of each class in all labelled pixels; zeros where there are none."""
    total = sum(pixels)
    return [count / total if total else 0.0 for count in pixels]


def enet_weights(pixels: Sequence[int], c: float = ENET_C) -> list[float]:
    """1 / ln(c + p), p the share of the class (Paszke et al. 2016, section 5.2): 1.4 for p = 1 to 50.5 for p = 0."""
    return [1 / math.log(c + share) for share in shares(pixels)]


def median_frequency(pixels: Sequence[int], present: Sequence[int]) -> list[float]:
    """Median frequency / frequency (Eigen and Fergus 2015, as in SegNet).

    pixels   of each class
    present  labelled pixels of all pictures in which the class appears; the frequency of a class is pixels / present
    """
    frequency = [count / whole if whole else 0.0 for count, whole in zip(pixels, present, strict=True)]
    found = [f for f in frequency if f]
    return [median(found) / f if f else 0.0 for f in frequency]
