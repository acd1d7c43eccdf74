"""Networks as strangers write them, for the tests of `edgeseg export module:Class`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SegNetLike(nn.Module):
    """Layers as attributes, functional ReLUs, index pooling, a transposed convolution, PReLU, a dictionary at the end."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.conv2, self.bn2, self.prelu = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.PReLU(16)
        self.down = nn.Conv2d(16, 32, 3, 2, 1)
        self.up, self.bn3 = nn.ConvTranspose2d(32, 16, 3, 2, 1, 1), nn.BatchNorm2d(16)
        self.unpool = nn.MaxUnpool2d(2)
        self.head = nn.Conv2d(16, classes, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x, indices = self.pool(F.relu(self.bn1(self.conv1(image))))
        x = self.prelu(self.bn2(self.conv2(x)))
        x = x + F.relu(self.bn3(self.up(F.relu(self.down(x)))))
        return {"out": self.head(self.unpool(x, indices))}


class Unusual(nn.Module):
    """Ends in an operator that no format has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)
        self.tail = nn.Sequential(InverseError())

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.tail(self.conv(image))
        return out


class InverseError(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.erfinv(torch.tanh(x))


class Pooled3(nn.Module):
    """Index pooling of a geometry that has no rewrite."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(3, return_indices=True)

    def forward(self, image: Tensor) -> Tensor:
        return image


class Flat(nn.Module):
    """Not a segmentation network."""

    def forward(self, image: Tensor) -> Tensor:
        return image.mean((2, 3))


def seeded(network: nn.Module, seed: int = 0) -> nn.Module:
    """`network` in evaluation mode with random weights and batch-norm statistics, so that every fold shows."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            module.weight.data.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            module.bias.data.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
    return network.eval()
