"""Layers that every network here shares. They are written so that they export without surprises."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.errors import ShapeError


class SegmentationNetwork(nn.Module):
    """What training, export and cost know of a network.

    image (n, 3, h, w) float32 -> logits (n, channels, h / output_stride, w / output_stride). One class (a person, say)
    is one channel of logits; several classes are one channel each. The caller enlarges the logits: at full resolution
    inside the graph that would cost more than it is worth.
    """

    size_divisor: int  # height and width must be multiples of it
    output_stride: int  # input size / output size

    def check_size(self, size: tuple[int, int]) -> None:
        """ShapeError, with the nearest size that fits, where (height, width) cannot be taken."""
        d = self.size_divisor
        if size[0] < d or size[1] < d or size[0] % d or size[1] % d:
            h, w = (max(d, round(s / d) * d) for s in size)
            raise ShapeError(f"input {size[0]}x{size[1]} must be divisible by {d}; use --size {h}x{w}")


def conv_bn(
    c_in: int,
    c_out: int,
    kernel: int | tuple[int, int] = 1,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    activation: nn.Module | None = None,
) -> nn.Sequential:
    """Convolution without bias, batch norm and, if given, an activation; padded so that stride 1 keeps the size."""
    kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (kh - 1) // 2, dilation * (kw - 1) // 2)
    layers: list[nn.Module] = [
        nn.Conv2d(c_in, c_out, (kh, kw), stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(c_out),
    ]
    return nn.Sequential(*layers, *([activation] if activation else []))


def separable(c_in: int, c_out: int, *, dilation: int = 1) -> nn.Sequential:
    """Depthwise 3x3 then pointwise 1x1, each with batch norm and ReLU (Chen et al. 2018, "atrous separable")."""
    return nn.Sequential(
        conv_bn(c_in, c_in, 3, dilation=dilation, groups=c_in, activation=nn.ReLU()),
        conv_bn(c_in, c_out, activation=nn.ReLU()),
    )


def pad_channels(x: Tensor, channels: int) -> Tensor:
    """Append zero channels up to `channels`. `F.pad` stays an op; torch.cat with zeros would bake them into the file."""
    return F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))


def pool_with_mask(x: Tensor) -> tuple[Tensor, Tensor]:
    """2x2 max-pooling, and where each maximum was found.

    x (n, c, h, w) -> pooled (n, c, h/2, w/2), mask (n, c, h, w) of zeros and ones, exactly one 1 in each 2x2 window.
    The mask is what max-pooling indices say, in operators that every runtime has. Several pixels of a window may hold
    the maximum (zeros after a ReLU do); like max-pooling, the first of them in reading order is taken.
    """
    pooled = F.max_pool2d(x, 2)
    is_max = (x == F.interpolate(pooled, scale_factor=2.0, mode="nearest")).to(x.dtype)
    h, w = x.shape[2] // 2, x.shape[3] // 2
    order = torch.tensor([[4.0, 3.0], [2.0, 1.0]], dtype=x.dtype, device=x.device).tile(h, w)
    rank = is_max * order
    best = F.interpolate(F.max_pool2d(rank, 2), scale_factor=2.0, mode="nearest")
    return pooled, is_max * (rank == best).to(x.dtype)


def unpool(x: Tensor, mask: Tensor) -> Tensor:
    """Max-unpooling: each value goes to where `mask` has its window's 1; zeros elsewhere. (n, c, h, w) -> (n, c, 2h, 2w)"""
    return F.interpolate(x, scale_factor=2.0, mode="nearest") * mask
