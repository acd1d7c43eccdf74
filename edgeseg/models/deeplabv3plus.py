"""DeepLabv3+ (Chen et al. 2018, arXiv 1802.02611) on MobileNetV2 or EfficientNet-Lite0.

ASPP with atrous separable branches and image pooling, and the decoder that joins low-level features at stride 4. One
thing is written differently from the paper, with the same function class: the pooled branch is added after the
projection by broadcasting (a 1x1 convolution of a concatenation is a sum of 1x1 convolutions), so that no runtime has
to enlarge a 1x1 map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.errors import UsageError
from edgeseg.models.layers import SegmentationNetwork, conv_bn, separable
from edgeseg.models.mobilenet import BACKBONES, InvertedResiduals

RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}  # section 4 of DeepLabv3 for 8 and 16; halved again for 32


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: context at several rates beside a summary of the whole image."""

    def __init__(self, c_in: int, c_out: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [conv_bn(c_in, c_out, activation=nn.ReLU()), *[separable(c_in, c_out, dilation=rate) for rate in rates]]
        )
        self.pooled = conv_bn(c_in, c_out, activation=nn.ReLU())
        self.project = conv_bn(c_out * (1 + len(rates)), c_out)
        self.project_pooled = nn.Conv2d(c_out, c_out, 1, bias=False)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        summary = self.project_pooled(self.pooled(F.adaptive_avg_pool2d(x, 1)))  # (n, c_out, 1, 1)
        context = self.project(torch.cat([branch(x) for branch in self.branches], 1))  # (n, c_out, h, w)
        out: Tensor = self.act(context + summary)
        return out


class DeepLabV3Plus(SegmentationNetwork):
    """image (n, 3, h, w) float32 -> logits (n, channels, h/4, w/4); h and w divisible by the backbone's output stride.

    width            the backbone's width multiplier
    output_stride    8, 16 or 32: the backbone's, before the decoder
    aspp_channels    256 in the paper
    decoder_channels 256 in the paper
    low_channels     of the low-level features after their 1x1 convolution, 48 in the paper
    rates            of the atrous branches; the paper's for the output stride if not given
    backbone         a key of BACKBONES
    """

    output_stride = 4

    def __init__(
        self,
        channels: int,
        width: float = 1.0,
        output_stride: int = 16,
        aspp_channels: int = 256,
        decoder_channels: int = 256,
        low_channels: int = 48,
        rates: tuple[int, ...] | None = None,
        backbone: str = "mobilenetv2",
    ) -> None:
        super().__init__()
        if output_stride not in RATES:
            raise UsageError(f"output stride must be one of {', '.join(map(str, RATES))}; got {output_stride}")
        if backbone not in BACKBONES:
            raise UsageError(f"backbone must be one of {', '.join(BACKBONES)}; got {backbone!r}")
        self.size_divisor = output_stride
        self.backbone = InvertedResiduals(BACKBONES[backbone], width, output_stride)
        self.aspp = ASPP(self.backbone.channels, aspp_channels, tuple(rates or RATES[output_stride]))
        self.enlargement = output_stride // 4
        self.low = conv_bn(self.backbone.low_level_channels, low_channels, activation=nn.ReLU())
        self.decoder = nn.Sequential(
            separable(aspp_channels + low_channels, decoder_channels),
            separable(decoder_channels, decoder_channels),
        )
        self.head = nn.Conv2d(decoder_channels, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        low_level, x = self.backbone(image)  # (n, 24 * width, h/4, w/4), (n, 320 * width, h/16, w/16)
        x = self.aspp(x)
        x = F.interpolate(x, scale_factor=float(self.enlargement), mode="bilinear", align_corners=False)
        x = self.decoder(torch.cat([x, self.low(low_level)], 1))  # (n, decoder_channels, h/4, w/4)
        logits: Tensor = self.head(x)
        return logits
