"""What every channel is charged, by hand, and that the charge empties what nobody needs."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from edgeseg.compress.sparsity import channel_penalty
from edgeseg.errors import UsageError
from tests.compress.shapes import SIZE, Tiny, batches, iou, loss

# MACs of Tiny on 16x16: first 3 -> 8, 3x3 at 8x8; second 8 -> 8, 3x3; head 8 -> 1
FIRST, SECOND, HEAD = 64 * 9 * 3 * 8, 64 * 9 * 8 * 8, 64 * 8
TOTAL = FIRST + SECOND + HEAD


def test_scales_are_charged_by_hand() -> None:
    """Each of the 8 channels of the first layer goes with an eighth of two layers, those of the second likewise."""
    network = Tiny()
    penalty = channel_penalty(network, SIZE)
    assert penalty(network).item() == pytest.approx((FIRST + SECOND + SECOND + HEAD) / TOTAL)
    with torch.no_grad():
        network.first[1].weight[0] = -3.0
    more = 2 * (FIRST + SECOND) / 8 / TOTAL
    assert penalty(network).item() == pytest.approx((FIRST + SECOND + SECOND + HEAD) / TOTAL + more)


def test_weights_are_charged_by_hand() -> None:
    """A channel of the first layer: root of the mean of two mean squares, of its 27 weights and of the 72 that read it."""
    network = Tiny()
    with torch.no_grad():
        for p in network.parameters():
            p.zero_()
        network.first[0].weight[2] = 2.0
        network.second[0].weight[:, 2] = 1.0
    share = (FIRST + SECOND) / 8 / TOTAL
    # the channels of the second layer: each has 9 ones among its 72 weights, and a head of zeros
    other = (SECOND + HEAD) / TOTAL * math.sqrt((9 / 72) / 2)
    assert channel_penalty(network, SIZE, "group")(network).item() == pytest.approx(
        share * math.sqrt((4 + 1) / 2) + other, rel=1e-4
    )


def test_protected_layers_cost_nothing() -> None:
    network = Tiny()
    assert channel_penalty(network, SIZE, protected=["second"])(network).item() == 0  # it reads what the first writes
    assert channel_penalty(network, SIZE, protected=["head"])(network).item() == pytest.approx((FIRST + SECOND) / TOTAL)


def test_the_slope_at_zero_is_finite() -> None:
    network = Tiny()
    with torch.no_grad():
        network.first[1].weight.zero_()
    channel_penalty(network, SIZE)(network).backward()
    assert torch.isfinite(network.first[1].weight.grad).all()


def test_it_works_on_a_copy_that_has_been_trained() -> None:
    network = Tiny()
    penalty = channel_penalty(network, SIZE)
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.first[1].weight.mul_(2)
    assert penalty(other) > penalty(network)


def test_training_with_it_empties_channels_and_without_does_not() -> None:
    def train(strength: float) -> tuple[int, float]:
        torch.manual_seed(0)
        network = Tiny()
        penalty = channel_penalty(network, SIZE)
        optimizer = torch.optim.Adam(network.parameters(), 0.03)
        for epoch in range(6):
            for image, truth in batches(epoch):
                optimizer.zero_grad()
                (loss(network(image), truth) + strength * penalty(network)).backward()
                optimizer.step()
        scales = torch.cat([network.first[1].weight, network.second[1].weight]).abs()
        return int((scales < 0.05).sum()), iou(network.eval())

    emptied, accuracy = train(0.05)
    assert train(0.0)[0] == 0
    assert emptied >= 3
    assert accuracy > 0.8


def test_a_penalty_that_does_not_exist_is_named() -> None:
    with pytest.raises(UsageError, match="there is no penalty 'l0'; there are: bn, group"):
        channel_penalty(Tiny(), SIZE, "l0")  # type: ignore[arg-type]
