from __future__ import annotations

import torch
from torch import nn

from edgeseg.export.blame import culprit
from tests.networks import Unusual


def refuse(target: str):
    """A converter that cannot take one kind of operator."""

    def convert(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        network(*inputs)  # must run on the examples
        graph = torch.export.export(network, inputs, strict=False).graph
        if any(target in str(node.target) for node in graph.nodes):
            raise RuntimeError("no")

    return convert


def test_the_operator_and_its_layer_are_named() -> None:
    example = torch.zeros(1, 3, 8, 8)
    assert culprit(Unusual().eval(), example, refuse("erfinv")) == "aten.erfinv.default in layer tail.0"
    assert culprit(Unusual().eval(), example, refuse("conv2d")) == "aten.conv2d.default in layer conv"


def test_nobody_is_blamed_where_each_passes_alone() -> None:
    assert culprit(Unusual().eval(), torch.zeros(1, 3, 8, 8), refuse("softmax")) is None
