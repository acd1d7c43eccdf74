"""MobileNetV2: inverted residuals and linear bottlenecks (Sandler et al. 2018, arXiv 1801.04381), as a feature extractor."""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.layers import conv_bn

# Table 2 of the paper: expansion t, channels c, repeats n, stride s. The 1280-channel layer belongs to its classifier.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
LOW_LEVEL_STAGE = 1  # its output, at stride 4, is what DeepLabv3+'s decoder takes


def round_channels(channels: float, divisor: int = 8) -> int:
    """Nearest multiple of `divisor`, at least `divisor`, and never less than 90 % of `channels` (as the authors do)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, linear 1x1 projection; added to the input where the shapes are equal."""

    def __init__(self, c_in: int, c_out: int, expansion: int, stride: int, dilation: int) -> None:
        super().__init__()
        inner = c_in * expansion
        expand = [conv_bn(c_in, inner, activation=nn.ReLU6())] if expansion > 1 else []
        self.block = nn.Sequential(
            *expand,
            conv_bn(inner, inner, 3, stride=stride, dilation=dilation, groups=inner, activation=nn.ReLU6()),
            conv_bn(inner, c_out),
        )
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return x + out if self.residual else out


class MobileNetV2(nn.Module):
    """image (n, 3, h, w) -> low-level features at stride 4, features at `output_stride`.

    Once `output_stride` is reached, strides become dilations (atrous convolution, Chen et al. 2017).
    """

    def __init__(self, width: float = 1.0, output_stride: int = 16) -> None:
        super().__init__()
        channels = round_channels(32 * width)
        self.stem = conv_bn(3, channels, 3, stride=2, activation=nn.ReLU6())
        self.stages = nn.ModuleList()
        self.low_level_channels = 0
        reached, dilation = 2, 1
        for i, (expansion, c, repeats, stride) in enumerate(STAGES):
            c_out = round_channels(c * width)
            blocks: list[nn.Module] = []
            for repeat in range(repeats):
                s = stride if repeat == 0 else 1
                block_dilation = dilation
                if s > 1 and reached >= output_stride:
                    dilation, s = dilation * s, 1
                reached *= s
                blocks.append(InvertedResidual(channels, c_out, expansion, s, block_dilation))
                channels = c_out
            self.stages.append(nn.Sequential(*blocks))
            if i == LOW_LEVEL_STAGE:
                self.low_level_channels = channels
        self.channels = channels

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(image)  # (n, c, h/2, w/2)
        low_level = x
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i == LOW_LEVEL_STAGE:
                low_level = x  # (n, c, h/4, w/4)
        return low_level, x
