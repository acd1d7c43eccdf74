"""Fake quantisation: float tensors that take int8 values only, with gradients as if they did not (Jacob et al. 2018,
arXiv 1712.05877; the straight-through estimator of Bengio et al. 2013, arXiv 1308.3432).

`Activation` and `Weight` stand where the observers of `edgeseg.compress.quantize.prepare` stood, so a network is
trained with exactly the ranges that its files will have.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from edgeseg.compress.quantize import HIGHEST, LOWEST

WEIGHT_HIGHEST = 127  # and -127: symmetric
LEAST_WEIGHT_SCALE = 2.0**-24  # of a channel that is zero, as in `quantize`


class _Round(torch.autograd.Function):
    """x (any shape), log scale (), least and greatest value kept -> x rounded to the grid; Esser et al. 2020, equation 3.

    With v the result, d v / d log s is v outside the range and v - x inside. Both need only what is in memory anyway.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, log_scale: Tensor, zero_point: int) -> Tensor:
        scale = float(log_scale.exp())
        low, high = LOWEST - zero_point, HIGHEST - zero_point
        out = (x * (1 / scale)).round_().clamp_(low, high).mul_(scale)
        ctx.save_for_backward(x, out)
        ctx.ends = low * scale, high * scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        x, out = ctx.saved_tensors
        inside = torch.ops.aten.hardtanh_backward(gradient, x, *ctx.ends)
        of_scale = None
        if ctx.needs_input_grad[1]:
            of_scale = _dot(gradient, out) - _dot(inside, x)
        return inside if ctx.needs_input_grad[0] else None, of_scale, None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of the products of two tensors of one shape; without a third tensor where both lie in memory alike."""
    if a.stride() == b.stride() and a.permute(order := _order(a)).is_contiguous():
        return torch.dot(a.permute(order).reshape(-1), b.permute(order).reshape(-1))
    return (a * b).sum()


def _order(x: Tensor) -> list[int]:
    """The axes from the slowest to the fastest in memory."""
    return sorted(range(x.ndim), key=lambda d: (x.stride()[d], x.shape[d]), reverse=True)


class Activation(nn.Module):
    """One int8 range, per tensor. Its scale can learn (Esser et al. 2020, arXiv 1902.08153), its zero point stays.

    log_scale  of the scale, so that one learning rate suits every tensor
    greatest   the scale at which the range covers everything that calibration saw. It is not exceeded: behind a ReLU6 a
               wider range would bring back the clipping that quantisation does for nothing
    """

    def __init__(self, scale: float, zero_point: int, greatest: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)), requires_grad=False)
        self.zero_point = zero_point
        self.greatest = math.log(max(scale, greatest))
        self.sees_gradients = False

    def forward(self, x: Tensor) -> Tensor:
        self.sees_gradients |= x.requires_grad
        out: Tensor = _Round.apply(x, self.log_scale, self.zero_point)  # type: ignore[no-untyped-call]
        return out

    def range(self) -> tuple[float, int]:
        """(scale, zero point)"""
        return float(self.log_scale.detach().exp()), self.zero_point

    @torch.no_grad()
    def limit(self) -> None:
        """Take the scale back to the greatest that is allowed."""
        self.log_scale.clamp_(max=self.greatest)


class Weight(nn.Module):
    """Weights to int8, symmetric, with a scale for each slice along `axis`: max |w| / 127 of the moment."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, weight: Tensor) -> Tensor:
        others = [d for d in range(weight.ndim) if d != self.axis]
        scale = (weight.detach().abs().amax(others, keepdim=True) / WEIGHT_HIGHEST).clamp_(min=LEAST_WEIGHT_SCALE)
        rounded = (weight.detach() / scale).round_().mul_(scale)
        return weight + (rounded - weight.detach())  # no value is outside: the gradient is the weight's own
