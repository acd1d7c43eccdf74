"""Tables of channels: what they say, what they build, and what they refuse."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgeseg.errors import ModelError
from edgeseg.models import SegmentationNetwork
from edgeseg.models.checkpoint import ModelCard, load_model, save_checkpoint
from edgeseg.models.shapes import reshape, shape_of, table
from edgeseg.train.task import Task, cut, paste


class Small(SegmentationNetwork):
    """A layer of every kind."""

    size_divisor, output_stride = 2, 1

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.dense = nn.Conv2d(3, 8, 3, 2, 1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.PReLU(8)
        self.depthwise = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False)
        self.linear = nn.Linear(8, 8)
        self.head = nn.ConvTranspose2d(8, channels, 2, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.depthwise(self.act(self.norm(self.dense(image))))
        x = self.linear(x.movedim(1, 3)).movedim(3, 1)
        out: torch.Tensor = self.head(x)
        return out


TABLE = {
    "dense": (6, 3, 3, 3, 1),
    "norm": (6,),
    "act": (6,),
    "depthwise": (6, 1, 3, 3, 6),
    "linear": (4, 6),
    "head": (4, 0, 2, 2, 1),
}


@pytest.mark.parametrize("channels", [1, 5])
def test_a_table_builds_what_it_describes(channels: int) -> None:
    network = Small(channels)
    reshape(network, TABLE)
    own = {name: shape_of(layer) for name, layer in network.named_children()}
    assert own == TABLE | {"head": (4, channels, 2, 2, 1)}
    assert network.norm.running_mean.shape == network.norm.bias.shape == (6,)  # type: ignore[union-attr]
    assert network.eval()(torch.rand(1, 3, 4, 6)).shape == (1, channels, 4, 6)
    assert table(network, Small(channels)) == TABLE


def test_fresh_weights_are_finite() -> None:
    network = Small()
    reshape(network, TABLE)
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_no_table_changes_nothing() -> None:
    network = Small()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    reshape(network, {})
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert table(network, Small()) == {}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"none": (1,)}, "names 'none', a layer that Small does not have"),
        ({"": (1,)}, r"layer  of shape \(\) cannot have the shape \(1,\)"),
        ({"dense": (9, 3, 3, 3, 1)}, r"layer dense of shape \(8, 3, 3, 3, 1\) cannot have the shape \(9, 3, 3, 3, 1\)"),
        ({"dense": (8, 3, 5, 5, 1)}, "layer dense .* cannot have"),
        ({"dense": (8, 3, 3, 3)}, "layer dense .* cannot have"),
        ({"dense": (8, 3, 3, 3, -1)}, "layer dense .* cannot have"),
        ({"dense": (8, 2, 3, 3, 3)}, "layer dense .* cannot have"),
        ({"depthwise": (8, 1, 3, 3, 3)}, "layer depthwise .* cannot have"),
        ({"norm": (10**12,)}, "layer norm .* cannot have"),
        ({"linear": (4, 8)}, "do not go together"),
        ({"norm": (6,)}, "do not go together"),
    ],
)
def test_a_table_that_cannot_be_is_refused_in_one_line(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as error:
        reshape(Small(), row)
    assert "\n" not in str(error.value)


NARROW = {
    "initial.conv": (5, 3, 3, 3, 1), "initial.bn": (8,), "down1.project.0": (16, 8, 2, 2, 1),
    "up5.identity.0": (8, 64, 1, 1, 1), "up5.identity.1": (8,), "up5.expand.0": (8, 4, 1, 1, 1), "up5.expand.1": (8,),
    "stage5.project.0": (4, 8, 1, 1, 1), "stage5.expand.0": (8, 4, 1, 1, 1), "stage5.expand.1": (8,), "head": (8, 0, 2, 2, 1),
}  # fmt: skip
CARD = ModelCard("enet", {"activation": "relu"}, size=(32, 32), shapes=NARROW)


def test_a_narrow_checkpoint_comes_back(tmp_path: Path) -> None:
    network = CARD.build().eval()
    save_checkpoint(tmp_path / "a.safetensors", network, CARD)
    model = load_model(tmp_path / "a.safetensors")
    assert model.card == CARD
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(model.network(image), network(image))
    assert table(model.network, dataclasses.replace(CARD, shapes={}).build()) == NARROW


def test_auxiliary_classes_of_a_narrow_network() -> None:
    task = Task(("background", "person"), ("cat", "dog"))
    large, small = task.build(CARD).eval(), CARD.build().eval()
    small.load_state_dict(cut(large.state_dict(), small))
    image = torch.rand(1, 3, 32, 32)
    assert large(image).shape == (1, 3, 32, 32)
    torch.testing.assert_close(small(image), large(image)[:, :1])
    again = task.build(CARD).eval()
    paste(small.state_dict(), again)
    torch.testing.assert_close(again(image)[:, :1], small(image))


@pytest.mark.parametrize("shapes", [[1], {"head": 3}, {"head": ["a"]}, {"head": None}])
def test_a_table_that_is_none_is_refused(tmp_path: Path, shapes: Any) -> None:
    save_checkpoint(tmp_path / "a.safetensors", CARD.build(), dataclasses.replace(CARD, shapes=shapes))
    with pytest.raises(ModelError, match="card that cannot be read"):
        load_model(tmp_path / "a.safetensors")


def test_weights_that_do_not_fit_the_table_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", dataclasses.replace(CARD, shapes={}).build(), CARD)
    with pytest.raises(ModelError, match="does not fit enet"):
        load_model(tmp_path / "a.safetensors")
