"""A network of three layers and pictures of discs, which it learns in a second."""

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.models.layers import SegmentationNetwork, conv_bn

SIZE = (16, 16)


class Tiny(SegmentationNetwork):
    size_divisor, output_stride = 2, 2

    def __init__(self):
        super().__init__()
        self.first = conv_bn(3, 8, 3, stride=2, activation=nn.ReLU())
        self.second = conv_bn(8, 8, 3, activation=nn.ReLU())
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, image):
        return self.head(self.second(self.first(image)))


def batches(epoch, count=12, size=8):
    """Bright discs on a dimmer ground, of any colours. image (n, 3, 16, 16) of whole bytes, truth (n, 1, 8, 8)"""
    generator = torch.Generator().manual_seed(epoch)
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    for _ in range(count):
        centre = torch.rand(size, 2, 1, 1, generator=generator) * 8 + 4
        disc = ((rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2 < 16).float()[:, None]
        ground, colour = (torch.rand(size, 3, 1, 1, generator=generator) for _ in range(2))
        image = ground * 0.4 * (1 - disc) + (0.45 + 0.5 * colour) * disc
        image = image + 0.1 * torch.rand(image.shape, generator=generator)
        yield (image.clamp(0, 1) * 255).round() / 255, F.avg_pool2d(disc, 2)


def loss(logits, truth):
    return F.binary_cross_entropy_with_logits(logits, truth)


@torch.no_grad()
def iou(network):
    hit = union = 0
    for image, truth in batches(1000, 4):
        person, disc = network(image) > 0, truth > 0.5
        hit, union = hit + int((person & disc).sum()), union + int((person | disc).sum())
    return hit / union


def trained():
    """A `Tiny` that finds the discs, in evaluation mode."""
    torch.manual_seed(0)
    network = Tiny()
    optimizer = torch.optim.Adam(network.parameters(), 0.03)
    for epoch in range(8):
        for image, truth in batches(epoch):
            optimizer.zero_grad()
            loss(network(image), truth).backward()
            optimizer.step()
    return network.eval()


@torch.no_grad()
def made_hard(network, factor):
    """The same function with one channel of the first layer `factor` times as large, which takes most of the range."""
    norm, reader = network.first[1], network.second[0]
    norm.weight[0] *= factor
    norm.bias[0] *= factor
    reader.weight[:, 0] /= factor
    return network
