"""Dilated convolutions whose gradients are right in bfloat16.

oneDNN's bfloat16 gradient to the kernel of a dilated convolution (PyTorch 2.13, AVX-512) is wrong where the input channels of
a group do not fill its blocks of 16: with 24 channels NaN or a segmentation fault, in a depthwise convolution numbers that are
off by as much as they are large. It is right in float32, in blocks of 16, and on maps as small as those of a person model's
ASPP (5x8, 10x16); the gradient to the input always is. A pruned ENet meets the one, atrous depthwise convolutions on larger
maps the other.
"""

from __future__ import annotations

import types
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 16  # channels


class DilatedConvolution(torch.autograd.Function):
    """x (n, c, h, w), weight -> as `F.conv2d` without a bias; the gradient to the kernel is computed in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, how: tuple[Any, ...]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = how
        stride, padding, dilation, groups = how
        return F.conv2d(x, weight, None, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.how
        rest = (None, stride, padding, dilation, False, (0, 0), groups)
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = torch.ops.aten.convolution_backward(gradient, x, weight, *rest, (True, False, False))[0]
        if ctx.needs_input_grad[1]:
            exact = (each.float() for each in (gradient, x, weight))
            to_weight = torch.ops.aten.convolution_backward(*exact, *rest, (False, True, False))[1].to(weight.dtype)
        return to_x, to_weight, None


def mend(network: nn.Module) -> None:
    """Let the dilated convolutions of `network` for which bfloat16 would go wrong learn this way."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _breaks(module):
            module.forward = types.MethodType(_forward, module)  # type: ignore[method-assign]


def _breaks(conv: nn.Conv2d) -> bool:
    dilated = any(rate > 1 and k > 1 for rate, k in zip(conv.dilation, conv.kernel_size, strict=True))
    blocks = conv.groups == 1 and conv.in_channels % BLOCK == 0
    return dilated and not blocks and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def _forward(self: nn.Conv2d, x: Tensor) -> Tensor:
    weight = self.weight
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
    how = (self.stride, self.padding, self.dilation, self.groups)
    out: Tensor = DilatedConvolution.apply(x, weight, how)  # type: ignore[no-untyped-call]
    return out if self.bias is None else out + self.bias.to(out.dtype)[:, None, None]
