"""Pooling masks in arithmetic are, bit for bit, those of comparisons."""

import pytest
import torch
from torch import nn

from edgeseg.export.masks import arithmetic_masks
from edgeseg.export.quiet import quiet
from edgeseg.models.layers import pool_with_mask, unpool

with quiet():
    from edgeseg.calib.observers import MinMax
    from edgeseg.compress import quantize


class Masked(nn.Module):
    """A convolution, a ReLU (ties at zero), pooling, and back."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, image):
        x = torch.relu(self.conv(image))
        pooled, mask = pool_with_mask(x)
        return unpool(pooled, mask)


def converted(seed):
    torch.manual_seed(seed)
    image = torch.rand(1, 3, 16, 16)
    with quiet(), torch.no_grad():
        prepared = quantize.prepare(Masked().eval(), (16, 16), MinMax)
        prepared(image)
        return quantize.convert(prepared), torch.round(image * 255) / 255


@pytest.mark.parametrize("seed", range(3))
def test_the_same_values_without_a_comparison(seed):
    graph, image = converted(seed)
    with torch.no_grad():
        expected = graph(image)
        replaced = arithmetic_masks(graph)
        assert torch.equal(replaced(image), expected)
    assert expected.count_nonzero() > 20
    assert not [node for node in graph.graph.nodes if node.target is torch.ops.aten.eq.Tensor]


class Unrelated(nn.Module):
    def forward(self, image):
        return image * (image == image.flip(3)).to(image.dtype)


def test_other_comparisons_are_left_alone():
    with quiet(), torch.no_grad():
        prepared = quantize.prepare(Unrelated().eval(), (8, 8), MinMax)
        prepared(torch.rand(1, 3, 8, 8))
        graph = arithmetic_masks(quantize.convert(prepared))
    assert [node for node in graph.graph.nodes if node.target is torch.ops.aten.eq.Tensor]
