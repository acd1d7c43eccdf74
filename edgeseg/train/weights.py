"""Weights of classes by how many pixels they have, so that small classes count. numpy only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from edgeseg.errors import UsageError

Weighting = Literal["none", "enet", "median"]
Shares = npt.NDArray[np.float64]  # (c,)


def enet_weights(shares: Shares) -> Shares:
    """1 / ln(1.02 + share of the pixels): 50 for a class of hardly any pixel, 1.4 for one of all (Paszke et al. 2016)."""
    weights: Shares = 1 / np.log(1.02 + np.asarray(shares, np.float64))
    return weights


def median_frequency(shares: Shares) -> Shares:
    """The median of the shares over each share (Eigen & Fergus 2015); classes without a pixel have weight 0 and no part in
    the median.

    shares  pixels of the class / pixels of the pictures that hold it
    """
    shares = np.asarray(shares, np.float64)
    present = shares > 0
    weights = np.zeros_like(shares)
    if present.any():
        weights[present] = np.median(shares[present]) / shares[present]
    return weights


def class_weights(weighting: str, counts: Iterable[npt.NDArray[Any]]) -> tuple[float, ...]:
    """() for "none", else a weight a class, from the pixels (c,) of every class in each picture. UsageError otherwise."""
    if weighting not in get_args(Weighting):
        raise UsageError(f"there are no class weights {weighting!r}; there are: {', '.join(get_args(Weighting))}")
    if weighting == "none":
        return ()
    pixels = np.stack([np.asarray(count, np.float64) for count in counts])  # (pictures, c)
    if weighting == "enet":
        weights = enet_weights(pixels.sum(0) / max(pixels.sum(), 1))
    else:
        holding = np.where(pixels > 0, pixels.sum(1, keepdims=True), 0).sum(0)
        weights = median_frequency(pixels.sum(0) / np.maximum(holding, 1))
    return tuple(round(float(w), 4) for w in weights)
