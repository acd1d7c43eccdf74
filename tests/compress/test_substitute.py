from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeseg.compress.substitute import layer_macs, substitute
from edgeseg.errors import ModelError
from edgeseg.models.checkpoint import ModelCard
from edgeseg.models.layers import conv_bn
from edgeseg.models.rewrites import rewrite
from edgeseg.report.cost import count
from tests.networks import seeded

LAYERS = {"Conv2d", "ConvTranspose2d"}
SEPARABLE = {"kind": "separable", "multiplier": 1}


class Small(nn.Module):
    """A stem, two convolutions called in the other order than they are made, and one that nobody calls."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 8, 3, stride=2, activation=nn.ReLU())
        self.later = conv_bn(8, 8, (5, 1), activation=nn.ReLU())
        self.earlier = conv_bn(8, 8, 3, dilation=2, activation=nn.ReLU())
        self.wide = nn.Conv2d(8, 32, 1)
        self.unused = nn.Conv2d(8, 8, 3)
        self.head = nn.ConvTranspose2d(32, 1, 2, 2)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.head(self.wide(self.later(self.earlier(self.stem(image)))))
        return out


ROWS: dict[str, dict[str, Any]] = {
    "wide": {"kind": "low_rank", "rank": 4},
    "later.0": SEPARABLE,
    "earlier.0": {"kind": "separable", "multiplier": 2},
}


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return seeded(Small())


def images(count: int = 3) -> list[Tensor]:
    """Smooth ones, whose neighbours have something in common."""
    generator = torch.Generator().manual_seed(1)
    return [nn.functional.avg_pool2d(torch.rand(2, 3, 40, 40, generator=generator), 9, 1) for _ in range(count)]


def test_macs_by_hand(network: nn.Module) -> None:
    """At 32x32 everything behind the stem is 16x16, 256 pixels. Earlier: 8*8*9 = 576 a pixel, then 16*9 + 16*8 = 272; later
    8*8*5 = 320, then 8*5 + 8*8 = 104; wide 256, then 4*8 + 32*4 = 160. Biases count as parameters in neither.
    """
    done = substitute(network, ROWS, (32, 32))[1]
    assert [(row.name, row.params_before, row.params_after) for row in done] == [
        ("earlier.0", 576, 272),
        ("later.0", 320, 104),
        ("wide", 256, 160),
    ]
    assert [(row.macs_before, row.macs_after) for row in done] == [
        (256 * row.params_before, 256 * row.params_after) for row in done
    ]


@pytest.mark.parametrize("architecture", ["enet", "deeplabv3plus-mobilenetv2"])
def test_macs_are_those_of_the_report(architecture: str) -> None:
    rows = {"stage2.3.conv.0": SEPARABLE, "stage3.1.expand.0": {"kind": "low_rank", "rank": 8}}
    card = ModelCard(architecture, size=(64, 96), rewrites=rows if architecture == "enet" else {})
    network = card.build()
    cost = count(network, card.size)
    assert sum(layer_macs(network, card.size).values()) == cost.macs
    assert layer_macs(network, card.size) == {layer.name: layer.macs for layer in cost.layers if layer.kind in LAYERS}


def test_the_network_is_left_alone_and_the_card_rebuilds_the_new_one(network: nn.Module) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    new, _ = substitute(network, ROWS, (32, 32), images())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not new.training
    rebuilt = Small()
    rewrite(rebuilt, ROWS)
    rebuilt.load_state_dict(new.state_dict())
    image = images(1)[0]
    assert torch.equal(rebuilt.eval()(image), new(image))


def test_pictures_bring_the_logits_nearer(network: nn.Module) -> None:
    unseen = images(4)[3]
    errors = []
    for seen in ([], images(3)):
        new, done = substitute(network, ROWS, (32, 32), seen)
        errors.append(float((new(unseen) - network(unseen)).norm().detach()))
        if seen:
            assert all(row.error < row.error_weights for row in done)
        else:
            assert all(row.error == row.error_weights for row in done)
    assert errors[1] < 0.5 * errors[0]


def test_later_layers_make_up_for_earlier_ones(network: nn.Module) -> None:
    """The last layer sees inputs that are off, and is fitted to what the trained network gives: nearer than if each layer had
    been fitted in the trained network.
    """
    rows = {"earlier.0": SEPARABLE, "later.0": {"kind": "separable", "multiplier": 5}}
    together, _ = substitute(network, rows, (32, 32), images())
    alone = [substitute(network, {name: row}, (32, 32), images())[0] for name, row in rows.items()]
    apart = substitute(network, rows, (32, 32))[0]
    apart.earlier, apart.later = alone[0].earlier, alone[1].later  # type: ignore[assignment]
    image = images(1)[0]
    assert (together(image) - network(image)).norm() < 0.9 * (apart(image) - network(image)).norm()


def test_layers_are_told_one_by_one(network: nn.Module) -> None:
    told: list[str] = []
    substitute(network, ROWS, (32, 32), on_layer=lambda row: told.append(row.name))
    assert told == ["earlier.0", "later.0", "wide"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"erlier.0": SEPARABLE}, "no layer 'erlier.0' to rewrite; near it: earlier.0"),
        ({"stem.0": SEPARABLE}, "it reads the image"),
        ({"head": SEPARABLE}, "it is a ConvTranspose2d"),
        ({"wide": {"kind": "low_rank", "rank": 9}}, "from 1 to 8"),
        ({"unused": SEPARABLE}, "layer unused has no part in what the network computes"),
    ],
)
def test_what_cannot_be_substituted(network: nn.Module, rows: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        substitute(network, ROWS | rows, (32, 32))
