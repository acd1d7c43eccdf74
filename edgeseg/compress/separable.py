"""A trained dense convolution as a depthwise and a pointwise one ("network decoupling", Guo et al. 2018, arXiv 1808.05517).

With r spatial kernels D[i, j] for each input channel i, W[o, i] ~ sum over j of P[o, i, j] D[i, j]: for the weights alone the
best D and P are the singular vectors of each channel's (c_out, kh * kw) matrix. Pictures say which errors matter, and errors
of one channel can make up for those of another: for given D the best P is least squares, and for given P the best D, so the
two are solved in turn (alternating least squares), beginning with the singular vectors of what each channel gives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.compress.moments import TINY, Moments
from edgeseg.models.rewrites import Separable

ROUNDS = 50
ENOUGH = 1e-3  # share by which a round must lessen the error to be followed by another
# Unknowns that are solved for at once. Where the kernels of a layer have more, they stay the singular vectors' and only P is
# solved for: a system of 4608 (512 channels, 3x3) already takes seconds a round.
LARGEST = 4608


def separate(dense: nn.Conv2d, multiplier: int = 1, moments: Moments | None = None) -> Separable:
    """The `Separable` that comes nearest to `dense`, with `multiplier` kernels for each input channel.

    moments  of the layer on pictures; without them each weight counts alike
    """
    moments = moments or Moments(dense)
    c_out, c_in = dense.weight.shape[:2]
    xx, yx = moments.means()
    pointwise, kernels = singular(moments.weight.reshape(c_out, c_in, -1), _of_channels(xx, c_in), multiplier)
    if moments.pixels:
        pointwise, kernels = alternate(moments, xx, yx, pointwise, kernels)
    pointwise, kernels = even(xx, pointwise, kernels)
    layer = Separable(dense, multiplier).to(dense.weight)
    with torch.no_grad():
        layer.depthwise.weight.copy_(kernels.reshape(layer.depthwise.weight.shape))
        layer.pointwise.weight.copy_(pointwise.reshape(layer.pointwise.weight.shape))
        if layer.pointwise.bias is not None and dense.bias is not None:
            layer.pointwise.bias.copy_(dense.bias)
    return layer


def singular(weight: Tensor, inputs: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """weight (c_out, c_in, k) -> P (c_out, c_in, rank) and D (c_in, rank, k): the best of each channel by itself.

    inputs  (c_in, k, k) mean x x^T of the patches of each channel
    """
    root = torch.linalg.cholesky(inputs)  # W root has outputs as large on white noise as W has on the inputs
    u, s, v = torch.linalg.svd(weight.transpose(0, 1) @ root, full_matrices=False)  # (c_in, c_out, m), (c_in, m), (c_in, m, k)
    kernels = torch.linalg.solve_triangular(root, v[:, :rank], upper=False, left=False)
    return (u * s[:, None])[:, :, :rank].transpose(0, 1), kernels


def product(pointwise: Tensor, kernels: Tensor) -> Tensor:
    """(c_out, c_in * k), the dense weight that P and D stand for."""
    return torch.einsum("oij,ijk->oik", pointwise, kernels).flatten(1)


def alternate(moments: Moments, xx: Tensor, yx: Tensor, pointwise: Tensor, kernels: Tensor) -> tuple[Tensor, Tensor]:
    """P and D by least squares in turn, until they get better by less than ENOUGH."""
    error = moments.error(product(pointwise, kernels))
    for _ in range(ROUNDS):
        pointwise = solve_pointwise(xx, yx, kernels)
        if kernels.numel() <= LARGEST:
            kernels = solve_kernels(xx, yx, pointwise, kernels.shape)
        before, error = error, moments.error(product(pointwise, kernels))
        if error >= (1 - ENOUGH) * before or kernels.numel() > LARGEST:
            break
    return pointwise, kernels


def solve_pointwise(xx: Tensor, yx: Tensor, kernels: Tensor) -> Tensor:
    """P (c_out, c_in, r) of least squares for D (c_in, r, k)."""
    c_in, r, k = kernels.shape
    zz = torch.einsum("ijk,ikmn,mpn->ijmp", kernels, xx.reshape(c_in, k, c_in, k), kernels).reshape(c_in * r, c_in * r)
    yz = torch.einsum("oik,ijk->oij", yx.reshape(-1, c_in, k), kernels).flatten(1)
    return solve(zz, yz.T).T.reshape(-1, c_in, r)


def solve_kernels(xx: Tensor, yx: Tensor, pointwise: Tensor, shape: torch.Size) -> Tensor:
    """D (c_in, r, k) of least squares for P (c_out, c_in, r)."""
    c_in, r, k = shape
    pp = torch.einsum("oij,omp->ijmp", pointwise, pointwise)
    system = torch.einsum("ijmp,ikmn->ijkmpn", pp, xx.reshape(c_in, k, c_in, k)).reshape(c_in * r * k, c_in * r * k)
    wanted = torch.einsum("oij,oik->ijk", pointwise, yx.reshape(-1, c_in, k)).flatten()
    return solve(system, wanted[:, None]).reshape(shape)


def solve(system: Tensor, wanted: Tensor) -> Tensor:
    """system^-1 wanted of a symmetric system without negative eigenvalues; a small solution where there are many."""
    ridge = (1e-12 * system.diagonal()).clamp(min=TINY)
    solution: Tensor = torch.linalg.solve(system + ridge.diag(), wanted)
    return solution


def even(xx: Tensor, pointwise: Tensor, kernels: Tensor) -> tuple[Tensor, Tensor]:
    """The same product with depthwise outputs of mean square 1: in int8 they share one range, which then suits them all."""
    spread = evenly(torch.einsum("ijk,ikn,ijn->ij", kernels, _of_channels(xx, len(kernels)), kernels))
    return pointwise * spread, kernels / spread[:, :, None]


def evenly(power: Tensor) -> Tensor:
    """Root mean squares of channels from their squares; 1 where there is nothing, which must not be divided by."""
    spread = power.clamp(min=0).sqrt()
    return torch.where(spread > 1e-9 * spread.max(), spread, torch.ones_like(spread))


def _of_channels(xx: Tensor, c_in: int) -> Tensor:
    """(c_in * k, c_in * k) -> (c_in, k, k): of each input channel with itself."""
    k = len(xx) // c_in
    return xx.reshape(c_in, k, c_in, k).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
