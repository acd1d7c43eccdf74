"""Which channels go together, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.compress.channels import ChannelSet, channel_sets, depthwise
from edgeseg.compress.prune import prune
from edgeseg.errors import ModelError
from edgeseg.models import MODELS, SegmentationNetwork


class Network(SegmentationNetwork):
    size_divisor, output_stride = 4, 1


class Joined(Network):
    """A sum, a concatenation, a depthwise layer with two outputs for an input, padded channels, a grouped convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 2, 1)
        self.depthwise = nn.Conv2d(6, 12, 3, padding=1, groups=6)
        self.c = nn.Conv2d(12, 4, 1)
        self.wide = nn.Conv2d(4, 6, 1)
        self.grouped = nn.Conv2d(6, 6, 1, groups=2)
        self.head = nn.Conv2d(6, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        a = self.a(image)
        x = a + self.c(self.depthwise(torch.cat([self.b(image), a], 1)))
        wide = F.pad(x, (0, 0, 0, 0, 0, 2)) + self.wide(x)
        out: Tensor = self.head(wide + self.grouped(wide))
        return out


class Shuffled(Network):
    """Channels become pixels: no channel can be followed through that. Others can go."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 1, stride=2), nn.Conv2d(8, 16, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.head(self.shuffle(self.second(self.first(image))))
        return out


class Hidden(Network):
    """Channels that also go where no gradient does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 1, 1), nn.Conv2d(8, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        out: Tensor = self.head(x.detach()) + self.second(x)
        return out


def described(channels: ChannelSet) -> dict[str, Any]:
    return {f"{path} {side}": indices.squeeze(1).tolist() for (path, side), indices in channels.places.items()}


def test_sums_concatenations_and_padding_by_hand() -> None:
    """The six channels behind the padding are those of a and c and two of their own; all meet the grouped layer."""
    sets = {channels.name: channels for channels in channel_sets(Joined())}
    assert described(sets["b"]) == {"b out": [0, 1], "depthwise out": [[0, 1], [2, 3]], "c in": [[0, 1], [2, 3]]}
    pairs = [[4, 5], [6, 7], [8, 9], [10, 11]]
    four = [0, 1, 2, 3]
    assert described(sets["a"]) == {
        "a out": four, "depthwise out": pairs, "c out": four, "c in": pairs, "wide out": four, "wide in": four,
        "grouped out": four, "grouped in": four, "head in": four,
    }  # fmt: skip
    assert described(sets["wide"]) == {"wide out": [4, 5], "grouped out": [4, 5], "grouped in": [4, 5], "head in": [4, 5]}
    fixed = {name: channels.fixed.tolist() for name, channels in sets.items()}
    assert fixed == {"a": [True] * 4, "b": [False] * 2, "wide": [True] * 2, "head": [True]}


def test_enet_by_hand() -> None:
    """16 channels go through the whole network, three of them the image's; 48 more at a quarter, 64 more at an eighth."""
    network = MODELS["enet"](1)
    sets = {channels.name: channels for channels in channel_sets(network)}
    stream, quarter, eighth = sets["initial.conv"], sets["down1.expand.0"], sets["down2.expand.0"]
    assert (stream.count, quarter.count, eighth.count) == (16, 48, 64)
    assert stream.fixed.nonzero().flatten().tolist() == [13, 14, 15]
    for path, side, channels, first in [
        ("head", "in", stream, 0),
        ("up5.identity.0", "out", stream, 0),
        ("stage4.0.project.0", "in", stream, 0),
        ("stage4.0.project.0", "in", quarter, 16),
        ("up4.identity.0", "out", quarter, 16),
        ("stage3.7.expand.0", "out", eighth, 64),
        ("up4.identity.0", "in", eighth, 64),
    ]:
        assert channels.places[path, side].flatten().tolist() == list(range(first, first + channels.count))  # type: ignore[index]
    assert ("up5.identity.0", "in") in quarter.places
    assert ("up5.identity.0", "out") not in quarter.places
    assert ("stage2.2.conv.0", "in") in sets["stage2.2.project.0"].places


def test_all_channels_are_in_one_set() -> None:
    network = MODELS["deeplabv3plus-mobilenetv2"](2, width=0.35, aspp_channels=8, decoder_channels=16, low_channels=8)
    layers = dict(network.named_modules())
    found: dict[tuple[str, str], list[int]] = {}
    for channels in channel_sets(network):
        for place, indices in channels.places.items():
            found.setdefault(place, []).extend(indices.flatten().tolist())
    for path, layer in layers.items():
        if isinstance(layer, nn.Conv2d):
            assert sorted(found[path, "out"]) == list(range(layer.out_channels))
            if layer.in_channels > 3 and not depthwise(layer):
                assert sorted(found[path, "in"]) == list(range(layer.in_channels))


def test_an_operator_without_a_rule_fixes_its_channels() -> None:
    sets = {channels.name: channels for channels in channel_sets(Shuffled())}
    assert sets["second"].fixed.all()
    assert not sets["first"].fixed.any()
    result = prune(Shuffled(), (8, 8), macs=0.6, round_to=1)
    assert result.gone.keys() == {"first"}
    assert result.kept["second"] == "its operators have no rule for removing any"


def test_a_network_that_cannot_be_followed_is_refused() -> None:
    with pytest.raises(ModelError, match="Hidden has operators that pruning cannot follow; protect the layers around them"):
        prune(Hidden(), (8, 8), macs=0.5, round_to=1)
