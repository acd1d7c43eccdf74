"""MobileNetV2 and its kin as feature extractors: inverted residuals with linear bottlenecks.

Sandler et al. 2018 (arXiv 1801.04381) for MobileNetV2; EfficientNet-Lite0 is the network of Tan and Le 2019 (arXiv
1905.11946) without squeeze-and-excitation and with ReLU6, made for int8. They differ in a table of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from edgeseg.models.layers import conv_bn

# Expansion t, channels c, repeats n, stride s, kernel k of each stage (table 2 of the first paper, table 1 of the second).
# The 1280-channel layer belongs to the classifier. A backbone more is a row more.
Stage = tuple[int, int, int, int, int]
BACKBONES: dict[str, tuple[Stage, ...]] = {
    "mobilenetv2": (
        (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3),
        (6, 96, 3, 1, 3), (6, 160, 3, 2, 3), (6, 320, 1, 1, 3),
    ),
    "efficientnet-lite0": (
        (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
    ),
}  # fmt: skip


def round_channels(channels: float, divisor: int = 8) -> int:
    """Nearest multiple of `divisor`, at least `divisor`, and never less than 90 % of `channels` (as the authors do)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, linear 1x1 projection; added to the input where the shapes are equal."""

    def __init__(self, c_in: int, c_out: int, expansion: int, stride: int, dilation: int, kernel: int = 3) -> None:
        super().__init__()
        inner = c_in * expansion
        expand = [conv_bn(c_in, inner, activation=nn.ReLU6())] if expansion > 1 else []
        self.block = nn.Sequential(
            *expand,
            conv_bn(inner, inner, kernel, stride=stride, dilation=dilation, groups=inner, activation=nn.ReLU6()),
            conv_bn(inner, c_out),
        )
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return x + out if self.residual else out


class InvertedResiduals(nn.Module):
    """image (n, 3, h, w) -> features at strides 2, 4, 8, ... up to `output_stride`, the finest first: (n, c, h/2, w/2), ...

    Of the stages of one stride the last one's. Once `output_stride` is reached, strides become dilations (atrous
    convolution, Chen et al. 2017). `stages` is a row of BACKBONES, `width` the multiplier of its channels.
    """

    def __init__(self, stages: Sequence[Stage], width: float = 1.0, output_stride: int = 16) -> None:
        super().__init__()
        channels = round_channels(32 * width)
        self.stem = conv_bn(3, channels, 3, stride=2, activation=nn.ReLU6())
        self.stages = nn.ModuleList()
        self.given: list[int] = []  # stages whose outputs are the features
        self.channels: list[int] = []  # of those
        reached, dilation = 2, 1
        for i, (expansion, c, repeats, stride, kernel) in enumerate(stages):
            c_out = round_channels(c * width)
            blocks: list[nn.Module] = []
            for repeat in range(repeats):
                s = stride if repeat == 0 else 1
                block_dilation = dilation
                if s > 1 and reached >= output_stride:
                    dilation, s = dilation * s, 1
                elif s > 1:  # what came before was the last of its stride
                    self.given.append(i - 1)
                    self.channels.append(channels)
                reached *= s
                blocks.append(InvertedResidual(channels, c_out, expansion, s, block_dilation, kernel))
                channels = c_out
            self.stages.append(nn.Sequential(*blocks))
        self.given.append(len(stages) - 1)
        self.channels.append(channels)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(image)  # (n, c, h/2, w/2)
        features = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.given:
                features.append(x)
        return tuple(features)
