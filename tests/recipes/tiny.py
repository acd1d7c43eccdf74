"""A network of a few layers, registered as any architecture is, so that whole recipes run in a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from edgeseg.models import MODELS, SegmentationNetwork
from edgeseg.models.checkpoint import ModelCard
from edgeseg.models.layers import conv_bn, separable
from edgeseg.recipes.search import Search


class Tiny(SegmentationNetwork):
    """image (n, 3, h, w) -> logits (n, channels, h/4, w/4); with a residual addition and a depthwise convolution."""

    size_divisor = output_stride = 4

    def __init__(self, channels: int, stem: int = 16) -> None:
        super().__init__()
        self.stem = conv_bn(3, stem, 3, stride=2, activation=nn.ReLU())
        self.down = conv_bn(stem, 2 * stem, 3, stride=2, activation=nn.ReLU())
        self.mix = separable(2 * stem, 2 * stem)
        self.head = nn.Conv2d(2 * stem, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.down(self.stem(image))
        out: Tensor = self.head(x + self.mix(x))
        return out


NAME = "tiny"
CARD = ModelCard(NAME, size=(32, 32), name="start")


def register() -> None:
    MODELS[NAME] = Tiny


@dataclass(frozen=True)
class TinySearch(Search):
    """The processes that work on it get to know the architecture."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        register()
        self.__dict__.update(state)
