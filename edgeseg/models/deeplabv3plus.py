"""DeepLabv3+ (Chen et al. 2018, arXiv 1802.02611) on MobileNetV2 or EfficientNet-Lite0.

ASPP with atrous separable branches and image pooling, and the decoder that joins low-level features at stride 4. One
thing is written differently from the paper, with the same function class: the pooled branch is added after the
projection by broadcasting (a 1x1 convolution of a concatenation is a sum of 1x1 convolutions), so that no runtime has
to enlarge a 1x1 map.

A backbone whose output stride is 32 leaves that decoder an enlargement by eight in one step, over which outlines are lost.
`steps` puts another in its place, which doubles step by step and joins the features of every stride on its way, as U-Net
(Ronneberger et al. 2015, arXiv 1505.04597) and feature pyramids (Lin et al. 2017, arXiv 1612.03144) do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.errors import UsageError
from edgeseg.models.layers import SegmentationNetwork, conv_bn, separable
from edgeseg.models.mobilenet import BACKBONES, InvertedResiduals

LOW_LEVEL = 1  # of the backbone's features, those at stride 4 are what the paper's decoder takes
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


class Steps(nn.Module):
    """From context at a coarse stride to finer features, doubling step by step.

    c_in   channels of the context
    skips  channels of the features that are joined at each step, the coarsest first
    c_out  channels that each step gives

    context (n, c_in, h, w), features of 1/2, 1/4, ... of its stride -> (n, c_out[-1], h * 2**steps, w * 2**steps)
    """

    def __init__(self, c_in: int, skips: Sequence[int], c_out: Sequence[int]) -> None:
        super().__init__()
        steps = list(pairwise([c_in, *c_out]))
        self.skips = nn.ModuleList([conv_bn(skip, coarse) for skip, (coarse, _) in zip(skips, steps, strict=True)])
        self.joined = nn.ModuleList([separable(coarse, fine) for coarse, fine in steps])

    def forward(self, x: Tensor, features: Sequence[Tensor]) -> Tensor:
        for skip, joined, finer in zip(self.skips, self.joined, features, strict=True):
            x = joined(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False) + skip(finer))
        return x


class DeepLabV3Plus(SegmentationNetwork):
    """image (n, 3, h, w) float32 -> logits (n, channels, h/4, w/4); h and w divisible by the backbone's output stride.

    width            the backbone's width multiplier
    output_stride    8, 16 or 32: the backbone's, before the decoder
    aspp_channels    256 in the paper
    decoder_channels 256 in the paper
    low_channels     of the low-level features after their 1x1 convolution, 48 in the paper
    rates            of the atrous branches; the paper's for the output stride if not given
    backbone         a key of BACKBONES
    steps            channels at each doubling from the backbone's output stride on, as in (32, 24, 16, 8) from stride 32 to
                     logits (n, channels, h/2, w/2); () is the paper's decoder
    """

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
        steps: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if output_stride not in RATES:
            raise UsageError(f"output stride must be one of {', '.join(map(str, RATES))}; got {output_stride}")
        if backbone not in BACKBONES:
            raise UsageError(f"backbone must be one of {', '.join(BACKBONES)}; got {backbone!r}")
        if not (isinstance(steps, list | tuple) and all(type(c) is int and c > 0 for c in steps)):
            raise UsageError(f"steps must be a list of channels from 1 up, as in [32,24,16,8]; got {steps!r}")
        if steps and output_stride >> len(steps) < 2:
            raise UsageError(f"{len(steps)} steps from output stride {output_stride} go beyond the features of stride 2")
        self.size_divisor = output_stride
        self.backbone = InvertedResiduals(BACKBONES[backbone], width, output_stride)
        *finer, deepest = self.backbone.channels
        self.aspp = ASPP(deepest, aspp_channels, tuple(rates or RATES[output_stride]))
        self.joined = len(steps)  # of the finer features, from the coarsest on
        if steps:
            self.output_stride = output_stride >> len(steps)
            self.decoder: nn.Module = Steps(aspp_channels, finer[::-1][: self.joined], steps)
        else:
            self.output_stride = 4
            self.enlargement = output_stride // 4
            self.low = conv_bn(self.backbone.channels[LOW_LEVEL], low_channels, activation=nn.ReLU())
            self.decoder = nn.Sequential(
                separable(aspp_channels + low_channels, decoder_channels),
                separable(decoder_channels, decoder_channels),
            )
        self.head = nn.Conv2d(steps[-1] if steps else decoder_channels, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        *finer, deepest = features = self.backbone(image)  # (n, c, h/2, w/2), (n, c, h/4, w/4), ...
        x = self.aspp(deepest)
        if isinstance(self.decoder, Steps):
            x = self.decoder(x, finer[::-1][: self.joined])
        else:
            x = F.interpolate(x, scale_factor=float(self.enlargement), mode="bilinear", align_corners=False)
            x = self.decoder(torch.cat([x, self.low(features[LOW_LEVEL])], 1))  # (n, decoder_channels, h/4, w/4)
        logits: Tensor = self.head(x)
        return logits
