"""ENet: a deep neural network architecture for real-time semantic segmentation (Paszke et al. 2016, arXiv 1606.02147).

Layer by layer table 1 of the paper. Three things follow the authors' own Torch code where the paper is silent: the inner
channels of every bottleneck are a quarter of those that leave it, the last
full convolution has a 2x2 kernel, and the decoder uses ReLU where the encoder uses PReLU.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from edgeseg.errors import UsageError
from edgeseg.models.layers import SegmentationNetwork, conv_bn, pad_channels, pool_with_mask, unpool

Activation = Literal["relu", "prelu"]
PROJECTION = 4  # the inner convolution of a bottleneck has a quarter of its channels


def activation(kind: Activation, channels: int) -> nn.Module:
    return nn.PReLU(channels) if kind == "prelu" else nn.ReLU()


class Initial(nn.Module):
    """A strided 3x3 convolution beside a 2x2 max-pooling of the image, 13 + 3 = 16 channels (figure 2a)."""

    def __init__(self, kind: Activation) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 13, 3, stride=2, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.bn = nn.BatchNorm2d(16)
        self.act = activation(kind, 16)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.cat([self.conv(image), self.pool(image)], 1)  # (n, 16, h/2, w/2)
        out: Tensor = self.act(self.bn(x))
        return out


class Bottleneck(nn.Module):
    """1x1 projection, a k x k convolution, 1x1 expansion, added to the identity (figure 2b).

    The convolution is 3x3, dilated 3x3, or with `asymmetric` a 5x1 followed by a 1x5.
    """

    def __init__(self, channels: int, dropout: float, kind: Activation, dilation: int = 1, asymmetric: bool = False) -> None:
        super().__init__()
        inner = channels // PROJECTION
        self.project = conv_bn(channels, inner, activation=activation(kind, inner))
        if asymmetric:
            self.conv = nn.Sequential(
                nn.Conv2d(inner, inner, (5, 1), padding=(2, 0), bias=False),
                *conv_bn(inner, inner, (1, 5), activation=activation(kind, inner)),
            )
        else:
            self.conv = conv_bn(inner, inner, 3, dilation=dilation, activation=activation(kind, inner))
        self.expand = nn.Sequential(*conv_bn(inner, channels), nn.Dropout2d(dropout))
        self.act = activation(kind, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(x + self.expand(self.conv(self.project(x))))
        return out


class Downsample(nn.Module):
    """A bottleneck that halves the size: 2x2 strided projection; the identity is max-pooled and given zero channels."""

    def __init__(self, c_in: int, c_out: int, dropout: float, kind: Activation) -> None:
        super().__init__()
        inner = c_out // PROJECTION
        self.project = nn.Sequential(
            nn.Conv2d(c_in, inner, 2, stride=2, bias=False), nn.BatchNorm2d(inner), activation(kind, inner)
        )
        self.conv = conv_bn(inner, inner, 3, activation=activation(kind, inner))
        self.expand = nn.Sequential(*conv_bn(inner, c_out), nn.Dropout2d(dropout))
        self.act = activation(kind, c_out)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled, mask = pool_with_mask(x)
        expanded = self.expand(self.conv(self.project(x)))
        return self.act(pad_channels(pooled, expanded.shape[1]) + expanded), mask  # (n, c_out, h/2, w/2), (n, c_in, h, w)


class Upsample(nn.Module):
    """A bottleneck that doubles the size: full convolution inside; the identity is projected and max-unpooled."""

    def __init__(self, c_in: int, c_out: int, dropout: float) -> None:
        super().__init__()
        inner = c_out // PROJECTION
        self.identity = conv_bn(c_in, c_out)
        self.project = conv_bn(c_in, inner, activation=nn.ReLU())
        self.conv = nn.Sequential(
            nn.ConvTranspose2d(inner, inner, 3, stride=2, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
        )
        self.expand = nn.Sequential(*conv_bn(inner, c_out), nn.Dropout2d(dropout))
        self.act = nn.ReLU()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = self.act(unpool(self.identity(x), mask) + self.expand(self.conv(self.project(x))))
        return out


class ENet(SegmentationNetwork):
    """image (n, 3, h, w) float32 -> logits (n, channels, h, w); h and w divisible by 8.

    dropout  of whole channels in stages 2 to 5, and a tenth of it in stage 1; 0.1 in the paper. Where pictures vary much,
             a network of this size learns more than twice as fast without
    """

    size_divisor = 8
    output_stride = 1

    def __init__(self, channels: int, activation: Activation = "prelu", dropout: float = 0.1) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise UsageError(f"dropout must be from 0 to below 1, got {dropout:g}")
        kind = activation
        self.initial = Initial(kind)
        self.down1 = Downsample(16, 64, dropout / 10, kind)
        self.stage1 = nn.Sequential(*[Bottleneck(64, dropout / 10, kind) for _ in range(4)])
        self.down2 = Downsample(64, 128, dropout, kind)
        self.stage2 = self._context(kind, dropout)
        self.stage3 = self._context(kind, dropout)
        self.up4 = Upsample(128, 64, dropout)
        self.stage4 = nn.Sequential(*[Bottleneck(64, dropout, "relu") for _ in range(2)])
        self.up5 = Upsample(64, 16, dropout)
        self.stage5 = Bottleneck(16, dropout, "relu")
        self.head = nn.ConvTranspose2d(16, channels, 2, stride=2)

    @staticmethod
    def _context(kind: Activation, dropout: float) -> nn.Sequential:
        """Bottlenecks 2.1 to 2.8, and again as 3.1 to 3.8: plain, dilated, asymmetric, dilated, twice."""
        blocks: list[nn.Module] = []
        for dilation in (2, 4, 8, 16):
            blocks.append(
                Bottleneck(128, dropout, kind, asymmetric=True) if dilation in (4, 16) else Bottleneck(128, dropout, kind)
            )
            blocks.append(Bottleneck(128, dropout, kind, dilation=dilation))
        return nn.Sequential(*blocks)

    def forward(self, image: Tensor) -> Tensor:
        x = self.initial(image)  # (n, 16, h/2, w/2)
        x, mask1 = self.down1(x)  # (n, 64, h/4, w/4)
        x = self.stage1(x)
        x, mask2 = self.down2(x)  # (n, 128, h/8, w/8)
        x = self.stage3(self.stage2(x))
        x = self.stage4(self.up4(x, mask2))  # (n, 64, h/4, w/4)
        x = self.stage5(self.up5(x, mask1))  # (n, 16, h/2, w/2)
        logits: Tensor = self.head(x)  # (n, channels, h, w)
        return logits
