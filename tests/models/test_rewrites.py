from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgeseg.errors import ModelError
from edgeseg.models.checkpoint import ModelCard, load_model, save_checkpoint
from edgeseg.models.rewrites import LowRank, Separable, rewrite
from edgeseg.train.task import Task, cut, paste

ROWS: dict[str, dict[str, Any]] = {
    "stage2.1.conv.0": {"kind": "separable", "multiplier": 1},
    "stage2.2.conv.0": {"kind": "separable", "multiplier": 2},
    "stage3.0.expand.0": {"kind": "low_rank", "rank": 12},
}
CARD = ModelCard("enet", {"activation": "relu"}, size=(32, 32), rewrites=ROWS)


def test_names_and_shapes_by_hand() -> None:
    """32 channels: a dilated 3x3, a 5x1 with two kernels a channel, and a 1x1 to 128 channels of rank 12."""
    shapes = {name: tuple(value.shape) for name, value in CARD.build().state_dict().items()}
    assert shapes["stage2.1.conv.0.depthwise.weight"] == (32, 1, 3, 3)
    assert shapes["stage2.1.conv.0.pointwise.weight"] == (32, 32, 1, 1)
    assert shapes["stage2.2.conv.0.depthwise.weight"] == (64, 1, 5, 1)
    assert shapes["stage2.2.conv.0.pointwise.weight"] == (32, 64, 1, 1)
    assert shapes["stage3.0.expand.0.reduce.weight"] == (12, 32, 1, 1)
    assert shapes["stage3.0.expand.0.expand.weight"] == (128, 12, 1, 1)
    assert not {f"{name}.weight" for name in ROWS} & shapes.keys()


@pytest.mark.parametrize("padding", [0, 1, "same", "valid"])
@pytest.mark.parametrize("bias", [False, True])
def test_the_geometry_and_the_bias_are_kept(padding: Any, bias: bool) -> None:
    stride = 1 if padding == "same" else 2
    for dense, form in [
        (nn.Conv2d(4, 6, (3, 1), stride, padding, 2, bias=bias, padding_mode="reflect"), Separable),
        (nn.Conv2d(4, 6, 1, stride, padding, bias=bias), LowRank),
    ]:
        layer = form(dense, 2)
        image = torch.rand(1, 4, 9, 11)
        assert layer(image).shape == dense(image).shape
        assert getattr(layer, form.first).bias is None
        assert (layer.last.bias is not None) == bias


def test_a_part_of_a_form_can_have_a_form() -> None:
    network = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1))
    rewrite(network, {"0": {"kind": "separable", "multiplier": 1}, "0.pointwise": {"kind": "low_rank", "rank": 2}})
    assert [name for name, _ in network.named_parameters()] == [
        "0.depthwise.weight", "0.pointwise.reduce.weight", "0.pointwise.expand.weight", "0.pointwise.expand.bias"
    ]  # fmt: skip


WRONG: list[tuple[Any, str]] = [
    ({"stage2.1.konv.0": {"kind": "separable", "multiplier": 1}}, "no layer 'stage2.1.konv.0' to rewrite; near it: .*2.1.conv"),
    ({"": {"kind": "separable", "multiplier": 1}}, "no layer ''"),
    ({"stage2.1.conv.0": {"kind": "winograd"}}, "the kind must be one of: separable, low_rank"),
    ({"stage2.1.conv.0": "separable"}, "the kind must be one of"),
    ({"stage2.1.conv.0": {"kind": ["separable"]}}, "the kind must be one of"),
    ({"stage2.1.conv.0": {"kind": "separable"}}, "needs 'multiplier' and nothing else"),
    ({"stage2.1.conv.0": {"kind": "separable", "multiplier": 1, "rank": 2}}, "needs 'multiplier' and nothing else"),
    ({"stage2.1.conv.0": {"kind": "separable", "multiplier": 10}}, "multiplier 10; it must be a whole number from 1 to 9"),
    ({"stage2.1.conv.0": {"kind": "separable", "multiplier": True}}, "multiplier True"),
    ({"stage2.1.conv.0": {"kind": "low_rank", "rank": 4}}, "kernel is 3x3; separable is for those"),
    ({"stage2.1.expand.0": {"kind": "low_rank", "rank": 0}}, "rank 0; it must be a whole number from 1 to 32"),
    ({"stage2.1.expand.0": {"kind": "low_rank", "rank": 33}}, "rank 33"),
    ({"stage2.1.expand.0": {"kind": "low_rank", "rank": 2.0}}, "rank 2.0"),
    ({"stage2.1.expand.0": {"kind": "separable", "multiplier": 1}}, "kernel is 1x1; low_rank is for those"),
    ({"stage2.1.expand.1": {"kind": "low_rank", "rank": 2}}, "it is a BatchNorm2d"),
    ({"up4.conv.0": {"kind": "separable", "multiplier": 1}}, "it is a ConvTranspose2d"),
    ({"initial.conv": {"kind": "separable", "multiplier": 1}}, "it reads the image"),
    (["stage2.1.conv.0"], "rewrites are a table"),
]  # fmt: skip


@pytest.mark.parametrize(("rewrites", "message"), WRONG)
def test_what_cannot_be_is_refused_in_one_line(rewrites: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        dataclasses.replace(CARD, rewrites=rewrites).build()
    assert "\n" not in str(caught.value)


def test_what_gives_the_logits_is_left_alone() -> None:
    card = ModelCard("deeplabv3plus-mobilenetv2", size=(32, 32), rewrites={"head": {"kind": "low_rank", "rank": 1}})
    with pytest.raises(ModelError, match="it gives the logits"):
        card.build()


def test_a_grouped_convolution_is_left_alone() -> None:
    with pytest.raises(ModelError, match="it has 8 groups"):
        rewrite(nn.Sequential(nn.Conv2d(8, 8, 3, groups=8)), {"0": {"kind": "separable", "multiplier": 1}})


def test_a_checkpoint_rebuilds_its_forms(tmp_path: Path) -> None:
    network = CARD.build().eval()
    image = torch.rand(1, 3, 32, 32)
    save_checkpoint(tmp_path / "a.safetensors", network, CARD)
    model = load_model(tmp_path / "a.safetensors")
    assert model.card == CARD
    assert torch.equal(model.network(image), network(image))


def test_a_checkpoint_of_the_dense_network_does_not_fit(tmp_path: Path) -> None:
    dense = dataclasses.replace(CARD, rewrites={})
    save_checkpoint(tmp_path / "a.safetensors", dense.build(), CARD)
    with pytest.raises(ModelError, match="does not fit enet"):
        load_model(tmp_path / "a.safetensors")


def test_training_builds_the_same_forms() -> None:
    """With two auxiliary classes, which are cut off afterwards."""
    network, trained = CARD.build().eval(), Task(CARD.classes, ("cat", "dog")).build(CARD).eval()
    assert trained.state_dict().keys() == network.state_dict().keys()
    paste(network.state_dict(), trained)
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(trained(image)[:, :1], network(image))
    assert cut(trained.state_dict(), network).keys() == network.state_dict().keys()
