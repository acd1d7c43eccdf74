"""Depthwise gradients: equal to PyTorch's own, and a network learns the same with them."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.train.depthwise import DepthwiseConvolution, quicken


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 10), (7, 9), (1, 2)])
def test_gradients_are_those_of_the_convolution(kernel: int, stride: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    # float32 is what the gradient to a 5x5 kernel is computed in, whatever comes in
    x = torch.randn(2, 4, *size, requires_grad=True)
    weight = torch.randn(4, 1, kernel, kernel, requires_grad=True)
    out = F.conv2d(x, weight, None, stride, kernel // 2, 1, 4)
    gradient = torch.randn_like(out)
    expected = torch.autograd.grad(out, (x, weight), gradient)
    ours = DepthwiseConvolution.apply(x, weight, stride)
    assert torch.equal(ours, out)
    for got, want in zip(torch.autograd.grad(ours, (x, weight), gradient), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_a_quickened_network_computes_and_learns_the_same() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.Conv2d(8, 8, 5, 2, 2, groups=8, bias=False),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, 1, 2, dilation=2, groups=8, bias=False),  # dilated: left to PyTorch
        nn.Conv2d(8, 8, 3, 1, 1, groups=8),  # with a bias: left to PyTorch
    )
    quick = copy.deepcopy(network)
    quicken(quick)
    assert ["forward" in vars(module) for module in quick] == [False, True, False, False, False]
    assert quick.state_dict().keys() == network.state_dict().keys()
    x = torch.randn(2, 3, 12, 14)
    for each in (network, quick):
        each(x).square().sum().backward()
    for (name, p), q in zip(network.named_parameters(), quick.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        torch.testing.assert_close(q.grad, p.grad, rtol=1e-4, atol=1e-4, msg=name)


def test_bf16_gradients_reach_float_weights() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 4, 5, 2, 2, groups=4, bias=False)
    x = torch.randn(2, 4, 16, 16)
    layer(x).square().sum().backward()
    assert layer.weight.grad is not None
    exact = layer.weight.grad.clone()
    layer.weight.grad = None
    quicken(layer)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    assert layer.weight.grad.dtype == torch.float32
    assert float((layer.weight.grad - exact).norm() / exact.norm()) < 0.02
