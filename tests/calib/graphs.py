"""Small prepared graphs for the tests of calibration."""

import torch
from torch import nn

from edgeseg.export.quiet import quiet

with quiet():
    from edgeseg.calib.observers import MinMax
    from edgeseg.calib.simulate import collecting
    from edgeseg.compress import quantize

SIZE = (8, 8)


class Chain(nn.Module):
    """1x1, depthwise 3x3, 1x1: all that may be equalised, with channels of very different size."""

    def __init__(self, activation=nn.ReLU, spread=8.0):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.last = nn.Conv2d(4, 2, 1)
        self.act = activation()
        self.first.weight.data *= torch.logspace(0, 1, 4, spread)[:, None, None, None]

    def forward(self, image):
        return self.last(self.act(self.depthwise(self.act(self.first(image)))))


class Skipping(nn.Module):
    """A residual and a concatenation: nothing may be scaled but `inner` and what reads it."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.inner = nn.Conv2d(4, 4, 1)
        self.outer = nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(8, 1, 1)

    def forward(self, image):
        x = torch.relu(self.first(image))
        y = x + self.outer(torch.relu(self.inner(x)))
        return self.last(torch.cat([x, y], 1))


def images(count=6, size=SIZE):
    """Smooth, in 0..1, on the grid of bytes."""
    random = torch.Generator().manual_seed(3)
    coarse = [torch.rand(1, 3, 4, 4, generator=random) for _ in range(count)]
    return [(nn.functional.interpolate(c, size=size, mode="bilinear") * 255).round() / 255 for c in coarse]


def prepared(network, size=SIZE):
    with quiet(), torch.no_grad():
        return quantize.prepare(network.eval().requires_grad_(False), size, MinMax)


@torch.no_grad()
def collect(graph, pictures):
    with collecting(graph) as observers:
        for picture in pictures:
            graph(picture)
            for observer in observers:
                observer.end_picture()
