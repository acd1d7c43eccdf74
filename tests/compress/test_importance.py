"""Importances of a network of three layers, by hand."""

from __future__ import annotations

import copy

import pytest
import torch

from edgeseg.compress.channels import channel_sets
from edgeseg.compress.importance import importances
from edgeseg.errors import UsageError
from tests.compress.shapes import Tiny, batches, loss, trained


@pytest.fixture
def network() -> Tiny:
    torch.manual_seed(0)
    return Tiny().eval()


def test_the_sets_of_channels(network: Tiny) -> None:
    sets = channel_sets(network)
    assert [(c.name, c.count, bool(c.fixed.any())) for c in sets] == [
        ("first.0", 8, False), ("second.0", 8, False), ("head", 1, True),
    ]  # fmt: skip
    assert list(sets[0].places) == [("first.0", "out"), ("first.1", "out"), ("second.0", "in")]


@pytest.mark.parametrize(("kind", "power"), [("l1", 1), ("l2", 2)])
def test_norms_relative_to_the_layer(network: Tiny, kind: str, power: int) -> None:
    """Channel 3 of the first layer is written by weights of 2 among ones, and read by ones like all others."""
    with torch.no_grad():
        network.first[0].weight.fill_(1)
        network.first[0].weight[3] = 2
        network.second[0].weight.fill_(1)
    score = importances(network, channel_sets(network), kind)[0]  # type: ignore[arg-type]
    mean = 9 / 8  # of seven ones and a two, whatever the norm
    expected = torch.full((8,), (1 / mean + 1) / 2)
    expected[3] = (2 / mean + 1) / 2
    torch.testing.assert_close(score.float(), expected)


def test_scales(network: Tiny) -> None:
    with torch.no_grad():
        network.second[1].weight.copy_(torch.arange(8.0) - 4)
    assert importances(network, channel_sets(network), "bn")[1].tolist() == [4, 3, 2, 1, 0, 1, 2, 3]


def test_the_filter_in_the_middle_is_missed_least(network: Tiny) -> None:
    """Filters that are the numbers 0 to 7: their distances sum to 28 at the ends and to 16 in the middle; the mean is 21."""
    with torch.no_grad():
        network.second[0].weight.zero_()
        network.second[0].weight[:, 0, 0, 0] = torch.arange(8.0)
    score = importances(network, channel_sets(network), "fpgm")[1]
    torch.testing.assert_close(score.float(), torch.tensor([28.0, 22, 18, 16, 16, 18, 22, 28]) / 21)


def test_taylor_is_the_squared_change_of_a_linear_loss(network: Tiny) -> None:
    """The logits are linear in the channels that the head reads: to first order is exact there."""
    images = [torch.rand(2, 3, 16, 16) for _ in range(3)]
    pictures = [(image, None) for image in images]
    sets = channel_sets(network)
    score = importances(network, sets, "taylor", batches=pictures, loss=lambda logits, _: logits.sum())[1]
    expected = torch.zeros(8)
    with torch.no_grad():
        for channel in range(8):
            without = copy.deepcopy(network)
            without.head.weight[:, channel] = 0
            expected[channel] = torch.stack([(network(image) - without(image)).sum().square() for image in images]).mean()
    torch.testing.assert_close(score.float(), expected, rtol=1e-3, atol=1e-5)


def test_taylor_finds_the_channel_that_does_nothing() -> None:
    network = trained()
    with torch.no_grad():
        network.second[0].weight[:, 5] = 0
    score = importances(network, channel_sets(network), "taylor", batches=batches(50, count=3), loss=loss)[0]
    assert score.argmin() == 5
    assert score[5] == 0


def test_random_is_the_same_for_the_same_seed(network: Tiny) -> None:
    sets = channel_sets(network)
    first, again, other = (importances(network, sets, "random", seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("l3", {}, "there is no importance 'l3'; there are: l1, l2, bn, fpgm, taylor, random"),
        ("taylor", {"batches": [1]}, "needs batches and a loss"),
        ("taylor", {"loss": loss}, "there are none; give some pictures"),
    ],
)
def test_what_is_missing_is_named(network: Tiny, kind: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        importances(network, channel_sets(network), kind, **arguments)  # type: ignore[arg-type]
