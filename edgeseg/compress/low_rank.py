"""A trained 1x1 convolution as two of lower rank (reduced-rank regression; Zhang et al. 2016, arXiv 1505.06798, section 3).

The best matrix of rank r for y = W x is U U^T W, U being the first r principal axes of the outputs W x. For white inputs
these are W's left singular vectors. What the axes leave out is known beforehand, so a rank follows from what shall stay.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.compress.moments import TINY, Moments
from edgeseg.compress.separable import evenly, solve
from edgeseg.models.rewrites import LowRank

PAYS = 0.8  # two layers take one pass over memory more: they must save a fifth of the MACs at least


def lower_rank(dense: nn.Conv2d, rank: int, moments: Moments | None = None) -> LowRank:
    """The `LowRank` of `rank` that comes nearest to the 1x1 convolution `dense`.

    moments  of the layer on pictures; without them each weight counts alike
    """
    xx, weight, axes, _ = _principal(moments or Moments(dense))
    expand = axes[:, :rank]
    reduce = expand.T @ weight
    spread = evenly(((reduce @ xx) * reduce).sum(1))
    layer = LowRank(dense, rank).to(dense.weight)
    with torch.no_grad():
        layer.reduce.weight.copy_((reduce / spread[:, None]).reshape(layer.reduce.weight.shape))
        layer.expand.weight.copy_((expand * spread).reshape(layer.expand.weight.shape))
        if layer.expand.bias is not None and dense.bias is not None:
            layer.expand.bias.copy_(dense.bias)
    return layer


def rank_for_energy(dense: nn.Conv2d, energy: float, moments: Moments | None = None) -> int:
    """The least rank with which this share of the outputs' power stays; of the weights' squares without `moments`."""
    power = _principal(moments or Moments(dense))[3].clamp(min=0)
    kept = power.cumsum(0) / power.sum().clamp(min=TINY)
    rank = 1 + int((kept < energy - 1e-9).sum())
    return int(min(rank, *dense.weight.shape[:2]))


def rank_for_macs(dense: nn.Conv2d, share: float) -> int:
    """The greatest rank with which the two take at most `share` of the MACs of `dense`; 1 at least."""
    c_out, c_in = dense.weight.shape[:2]
    return max(1, int(share * c_in * c_out / (c_in + c_out)))


def pays(dense: nn.Conv2d, rank: int) -> bool:
    """Whether so many MACs are saved that they are worth a layer more."""
    c_out, c_in = dense.weight.shape[:2]
    return rank * (c_in + c_out) < PAYS * c_in * c_out


def _principal(moments: Moments) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs' moments, the weight of least squares (not the trained one where the inputs are not the trained network's), the
    axes of its outputs (c_out, c_out) in columns, and their power (c_out,), both from the greatest down.
    """
    xx, yx = moments.means()
    weight = solve(xx, yx.T).T
    power, axes = torch.linalg.eigh(weight @ xx @ weight.T)
    return xx, weight, axes.flip(1), power.flip(0)
