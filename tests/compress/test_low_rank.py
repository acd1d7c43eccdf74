from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgeseg.compress.low_rank import lower_rank, pays, rank_for_energy, rank_for_macs
from edgeseg.compress.moments import Moments
from edgeseg.compress.substitute import dense_weight


def pointwise(weight: Tensor, bias: bool = False, stride: int = 1) -> nn.Conv2d:
    """weight (c_out, c_in)"""
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1, stride, bias=bias).requires_grad_(False)
    conv.weight.copy_(weight[:, :, None, None])
    return conv


def measured(conv: nn.Conv2d, image: Tensor) -> Moments:
    moments = Moments(conv)
    moments.add(image, conv(image))
    return moments


@settings(max_examples=20, deadline=None)
@given(
    c_in=st.integers(2, 8), c_out=st.integers(2, 8), rank=st.integers(1, 3), bias=st.booleans(), stride=st.integers(1, 2),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_a_layer_of_low_rank_is_reproduced(c_in: int, c_out: int, rank: int, bias: bool, stride: int, seed: int) -> None:
    rank = min(rank, c_in, c_out)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(c_out, rank, generator=generator) @ torch.randn(rank, c_in, generator=generator)
    conv = pointwise(weight, bias, stride)
    image = torch.randn(2, c_in, 7, 9, generator=generator)
    for moments in (None, measured(conv, image)):
        layer = lower_rank(conv, rank, moments)
        torch.testing.assert_close(layer(image), conv(image), rtol=1e-3, atol=1e-3)
        assert rank_for_energy(conv, 1, moments) <= rank


DIAGONAL = torch.tensor([[3.0, 0], [0, 1.0]])
# The second channel is ten times as strong: outputs of power 3^2 * 1 and 1^2 * 100.
UNEVEN = torch.tensor([[1.0, 0], [-1.0, 0], [0, 10], [0, -10]]).T.reshape(1, 2, 2, 2)


def test_by_hand_the_larger_weight_or_the_one_that_pictures_use() -> None:
    conv = pointwise(DIAGONAL)
    moments = measured(conv, UNEVEN)
    for used, judged, expected in [
        (None, Moments(conv), math.sqrt(1 / 10)),
        (None, moments, math.sqrt(100 / 109)),
        (moments, moments, math.sqrt(9 / 109)),
    ]:
        assert judged.error(dense_weight(lower_rank(conv, 1, used))) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize(
    ("energy", "weights_alone", "on_pictures"),
    [(0.85, 1, 1), (0.9, 1, 1), (0.91, 2, 1), (0.92, 2, 2), (1.0, 2, 2)],  # 9/10 of the weights, 100/109 of the outputs
)
def test_rank_for_energy_by_hand(energy: float, weights_alone: int, on_pictures: int) -> None:
    conv = pointwise(DIAGONAL)
    assert rank_for_energy(conv, energy) == weights_alone
    assert rank_for_energy(conv, energy, measured(conv, UNEVEN)) == on_pictures


def test_rank_for_macs_by_hand() -> None:
    """128 to 32: 4096 MACs a pixel, 160 a rank; half are 12.8 ranks, and 20.48 ranks are four fifths."""
    conv = nn.Conv2d(128, 32, 1)
    assert rank_for_macs(conv, 0.5) == 12
    assert rank_for_macs(conv, 0.001) == 1
    assert [pays(conv, rank) for rank in (12, 20, 21)] == [True, True, False]


def test_the_two_between_share_a_range() -> None:
    conv = nn.Conv2d(6, 8, 1).requires_grad_(False)
    image = torch.randn(4, 6, 16, 16, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 7)[:, None, None]
    between = lower_rank(conv, 3, measured(conv, image)).reduce(image)
    torch.testing.assert_close(between.square().mean((0, 2, 3)), torch.ones(3), rtol=0.01, atol=0)
