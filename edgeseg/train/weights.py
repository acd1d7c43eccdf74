"""Weights of classes by how many pixels they have, so that small classes count. numpy only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from edgeseg.errors import UsageError

Weighting = Literal["none", "enet", "median"]
Shares = npt.NDArray[np.float64]  # (c,)


def shares_of(pixels: npt.ArrayLike, holding: npt.ArrayLike | None = None) -> Shares:
    """Share of each class, from pixels (c,): of all of them, or of `holding` (c,), the pixels of the pictures that hold it.

    Zero where there is nothing to have a share of.
    """
    pixels = np.asarray(pixels, np.float64)
    whole = np.asarray(pixels.sum() if holding is None else holding, np.float64)
    return pixels / np.maximum(whole, 1)


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
        weights = enet_weights(shares_of(pixels.sum(0)))
    else:
        holding = np.where(pixels > 0, pixels.sum(1, keepdims=True), 0).sum(0)
        weights = median_frequency(shares_of(pixels.sum(0), holding))
    return tuple(round(float(w), 4) for w in weights)
