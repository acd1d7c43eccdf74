"""Names of layers: the same before and after quantisation, and found by patterns."""

import pytest
import torch
from torch import nn

from edgeseg.errors import UsageError
from edgeseg.export.quiet import quiet
from edgeseg.models.layer_names import find_layers, layer_names

with quiet():
    from edgeseg.calib.observers import MinMax
    from edgeseg.compress import quantize


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU6(), nn.Conv2d(3, 3, 1))

    def forward(self, x):
        return torch.relu(x + self.convs(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(6, 1, 1)

    def forward(self, image):
        x = self.pool(self.blocks(image))
        return self.head(torch.cat([x, x + 1.0 + x], 1))


NAMES = ["blocks.0.convs.0", "blocks.0.convs.2", "blocks.0.add", "blocks.1.convs.0", "blocks.1.convs.2", "blocks.1.add"]
NAMES += ["pool", "add", "add:2", "cat", "head"]


def test_names_before_and_after_quantisation():
    with quiet(), torch.no_grad():
        exported = torch.export.export(Net().eval(), (torch.zeros(1, 3, 8, 8),), strict=False).module()
        prepared = quantize.prepare(Net().eval(), (8, 8), MinMax)
        prepared(torch.rand(1, 3, 8, 8))
        converted = quantize.convert(prepared)
    for graph in (exported, converted):
        assert list(dict.fromkeys(layer_names(graph.graph).values())) == NAMES


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["head"], ["head"]),
        (["head", "pool"], ["pool", "head"]),  # in the network's order
        (["blocks.1.*"], ["blocks.1.convs.0", "blocks.1.convs.2", "blocks.1.add"]),
        (["*.add", "add:2"], ["blocks.0.add", "blocks.1.add", "add:2"]),
        ([], []),
    ],
)
def test_patterns(patterns, found):
    assert find_layers(patterns, NAMES) == found


@pytest.mark.parametrize(
    ("pattern", "near"), [("blocks.0.conv.0", "blocks.0.convs.0"), ("haed", "head"), ("zzz*", "blocks.0.convs.0")]
)
def test_unknown_names_are_answered_with_near_ones(pattern, near):
    with pytest.raises(UsageError, match=f"no layer is named .*near it: .*{near}"):
        find_layers([pattern], NAMES)
