"""The bfloat16 gradients of dilated convolutions, where oneDNN's own are NaN or wrong."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgeseg.models.checkpoint import ModelCard
from edgeseg.train.depthwise import quicken
from edgeseg.train.device import CPU, autocast, place
from edgeseg.train.dilated import mend

# Of a pruned ENet, and of a separable form of its dilated layers.
CONVOLUTIONS = {
    "24 channels": lambda: nn.Conv2d(24, 16, 3, padding=2, dilation=2, bias=False),
    "40 channels, far": lambda: nn.Conv2d(40, 24, 3, padding=8, dilation=8),
    "asymmetric": lambda: nn.Conv2d(24, 24, (5, 1), padding=(4, 0), dilation=(2, 1), bias=False),
    "depthwise": lambda: nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=16, bias=False),
    "depthwise, two each": lambda: nn.Conv2d(8, 16, 3, padding=4, dilation=4, groups=8),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_in_bf16_a_mended_convolution_learns_as_in_float64(name: str) -> None:
    torch.manual_seed(0)
    conv = CONVOLUTIONS[name]()
    exact = copy.deepcopy(conv).double()
    mend(conv)
    x = torch.randn(2, conv.in_channels, 45, 60).contiguous(memory_format=torch.channels_last).requires_grad_()
    x64 = x.detach().double().requires_grad_()
    with autocast(CPU, "bf16"):
        out = conv(x)
    assert out.dtype == torch.bfloat16
    up = torch.randn_like(out)
    out.backward(up)
    exact(x64).backward(up.double())
    pairs = [(x.grad, x64.grad), *((p.grad, q.grad) for p, q in zip(conv.parameters(), exact.parameters(), strict=True))]
    for got, want in pairs:
        assert got is not None
        assert want is not None
        assert float((got - want).norm() / want.norm()) < 0.01


def test_only_what_would_go_wrong_is_mended() -> None:
    whole = [
        nn.Conv2d(32, 24, 3, padding=2, dilation=2),  # two blocks of 16
        nn.Conv2d(24, 24, 3, padding=1),  # not dilated
        nn.Conv2d(24, 24, 1, dilation=2),  # nothing to dilate
        nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False),  # `quicken`'s
    ]
    network = nn.Sequential(*whole, nn.Conv2d(24, 24, 3, padding=2, dilation=2))
    mend(network)
    assert ["forward" in vars(module) for module in network] == [False, False, False, False, True]
    quicken(network)
    assert ["forward" in vars(module) for module in network] == [False, False, False, True, True]


def test_a_network_that_is_placed_is_mended() -> None:
    card = ModelCard("deeplabv3plus-mobilenetv2", {"width": 0.35, "aspp_channels": 24})
    network = place(card.build(), CPU)
    dilated = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.dilation != (1, 1)]
    assert dilated
    assert all("forward" in vars(conv) for conv in dilated)
