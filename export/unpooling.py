"""Max-pooling that remembers indices, and max-unpooling, in operators that every runtime has.

`nn.MaxPool2d(2, return_indices=True)` gives a mask in place of the indices, and `nn.MaxUnpool2d(2)` takes one: the two
are exact as long as the indices go from the one to the other and nowhere else, as in SegNet and ENet.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from edgeseg.errors import ExportError
from edgeseg.models.layers import pool_with_mask, unpool


class PoolWithMask(nn.Module):
    """(n, c, h, w) -> pooled (n, c, h/2, w/2), mask (n, c, h, w)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return pool_with_mask(x)


class Unpool(nn.Module):
    """Values (n, c, h, w) and the mask (n, c, 2h, 2w) of a `PoolWithMask` -> (n, c, 2h, 2w)."""

    def forward(self, x: Tensor, mask: Tensor, output_size: Any = None) -> Tensor:
        return unpool(x, mask)


def mask_for_indices(module: nn.Module, path: str) -> nn.Module | None:
    """What stands for `module`, or None where it is neither; ExportError, with its `path`, for one of another geometry."""
    if not (isinstance(module, nn.MaxUnpool2d) or (isinstance(module, nn.MaxPool2d) and module.return_indices)):
        return None
    kernel, stride, padding = (_pair(value) for value in (module.kernel_size, module.stride, module.padding))
    plain = not isinstance(module, nn.MaxPool2d) or (_pair(module.dilation) == (1, 1) and not module.ceil_mode)
    if (kernel, stride, padding) != ((2, 2), (2, 2), (0, 0)) or not plain:
        raise ExportError(
            f"{path} ({type(module).__name__}) pools {kernel} with stride {stride}: index pooling is exported "
            "for kernel 2, stride 2 without padding only; replace it by strided convolution or plain enlargement"
        )
    return Unpool() if isinstance(module, nn.MaxUnpool2d) else PoolWithMask()


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
