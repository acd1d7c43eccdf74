"""Channels that are gone are gone everywhere, and nothing else is."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from edgeseg.compress.channels import depthwise
from edgeseg.compress.importance import by_channel
from edgeseg.compress.prune import prune, pruned_card
from edgeseg.errors import UsageError
from edgeseg.models.checkpoint import ModelCard
from edgeseg.report.cost import count
from tests.networks import seeded

SMALL = {"width": 0.35, "aspp_channels": 16, "decoder_channels": 32, "low_channels": 16}
CARDS = {
    "deeplabv3plus": ModelCard("deeplabv3plus-mobilenetv2", SMALL, size=(32, 48)),
    "efficientnet": ModelCard("deeplabv3plus-mobilenetv2", {**SMALL, "backbone": "efficientnet-lite0"}, size=(32, 64)),
    "enet": ModelCard("enet", {"activation": "prelu"}, size=(32, 48)),
    "enet-relu": ModelCard("enet", {"activation": "relu"}, size=(32, 48)),
}


def built(name: str) -> Any:
    torch.manual_seed(0)
    return seeded(CARDS[name].build())


@pytest.fixture(scope="module", params=CARDS)
def case(request: pytest.FixtureRequest) -> tuple[ModelCard, Any]:
    return CARDS[request.param], built(request.param)


def dense(network: nn.Module) -> dict[str, Any]:
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and not depthwise(layer)
    }


def numbered(network: Any) -> Any:
    """A copy in which the weights of every dense layer are the numbers of the channels that they read."""
    copied = copy.deepcopy(network)
    for layer in dense(copied).values():
        axis = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
        numbers = torch.arange(float(layer.in_channels)).reshape([-1 if d == axis else 1 for d in range(4)])
        layer.weight.data = numbers.expand_as(layer.weight).clone()
    return copied


def test_the_pruned_network_is_the_network_without_those_channels(case: tuple[ModelCard, Any]) -> None:
    """What is left computes what the whole network computes when nobody reads the channels that went."""
    card, network = case
    before = count(network, card.size).macs
    result = prune(network, card.size, macs=0.4, importance="random")
    left = dense(prune(numbered(network), card.size, macs=0.4, importance="random").network)
    silenced = copy.deepcopy(network)
    for name, layer in dense(silenced).items():
        read = by_channel(left[name], left[name].weight, reads=True)[:, 0].long()
        unread = torch.ones(layer.in_channels, dtype=torch.bool).index_fill(0, read, False)
        layer.weight.data.index_fill_(0 if isinstance(layer, nn.ConvTranspose2d) else 1, unread.nonzero()[:, 0], 0)
    image = torch.rand(2, 3, *card.size)
    with torch.no_grad():
        expected = silenced(image)
        torch.testing.assert_close(result.network(image), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
        assert not torch.allclose(expected, network(image), rtol=1e-2)
    assert result.macs == count(result.network, card.size).macs
    assert 0.35 * before < result.macs <= 0.4 * before == 0.4 * result.macs_before


def test_the_table_rebuilds_it(case: tuple[ModelCard, Any]) -> None:
    card, network = case
    result = prune(network, card.size, macs=0.5)
    smaller = pruned_card(dataclasses.replace(card, accuracy={"iou": 1.0}, ranges={"a": (1.0, 0)}), result.network)
    again = smaller.build().eval()
    again.load_state_dict(result.network.state_dict())
    image = torch.rand(1, 3, *card.size)
    with torch.no_grad():
        assert torch.equal(again(image), result.network(image))
    assert (smaller.accuracy, smaller.ranges) == ({}, {})


def test_a_target_below_what_every_layer_keeps_is_refused() -> None:
    with pytest.raises(UsageError, match=r"0\.1 MMAC cannot be reached: with every layer at its least there are"):
        prune(built("enet-relu"), (32, 48), macs=1e5)
