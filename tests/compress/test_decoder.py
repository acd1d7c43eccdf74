from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from edgeseg.compress.decoder import with_steps
from edgeseg.compress.prune import prune, pruned_card
from edgeseg.errors import UsageError
from edgeseg.models.checkpoint import ModelCard, load_model, save_checkpoint
from edgeseg.models.layers import SegmentationNetwork

SMALL: dict[str, Any] = {"width": 0.35, "output_stride": 32, "aspp_channels": 16, "decoder_channels": 16, "low_channels": 8}
CARD = ModelCard("deeplabv3plus-mobilenetv2", SMALL, size=(64, 96), accuracy={"iou": 0.9}, ranges={"x": (0.1, 0)})


def pruned() -> tuple[SegmentationNetwork, ModelCard]:
    torch.manual_seed(0)
    network = CARD.build().eval()
    result = prune(network, CARD.size, macs=0.5, importance="l2", original=CARD.build())
    return result.network, pruned_card(CARD, result.network)


@pytest.mark.parametrize("channels", [(24, 16, 16, 8), (16, 8)])
@pytest.mark.parametrize("whole", [True, False])
def test_features_stay_and_the_card_rebuilds_the_network(tmp_path: Any, channels: tuple[int, ...], whole: bool) -> None:
    network, card = (CARD.build().eval(), CARD) if whole else pruned()
    new, new_card = with_steps(network, card, channels)
    new.eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for before, after in zip(network.backbone(image), new.backbone(image), strict=True):  # type: ignore[operator]
            assert torch.equal(before, after)
        deepest = network.backbone(image)[-1]  # type: ignore[operator]
        assert torch.equal(network.aspp(deepest), new.aspp(deepest))  # type: ignore[operator]
        logits = new(image)
    stride = 32 >> len(channels)
    assert logits.shape == (1, 1, 64 // stride, 96 // stride)
    assert (new_card.accuracy, new_card.ranges) == ({}, {})
    save_checkpoint(tmp_path / "steps.safetensors", new, new_card)
    again = load_model(tmp_path / "steps.safetensors")
    with torch.no_grad():
        assert torch.equal(again.network(image), logits)
    assert bool(new_card.shapes) is not whole


@pytest.mark.parametrize(("wider", "context"), [((24, 16, 16, 8), None), ((32, 24, 16, 12), 16), ((24, 20, 16, 8), None)])
@pytest.mark.parametrize("whole", [True, False])
def test_wider_steps_say_what_the_narrow_ones_did(wider: tuple[int, ...], context: int | None, whole: bool) -> None:
    narrow, card = with_steps(*((CARD.build().eval(), CARD) if whole else pruned()), (24, 16, 16, 8))
    for layer in narrow.modules():  # batch norm that does something
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
            torch.nn.init.normal_(layer.bias, 0, 0.1)
    had = narrow.aspp.project[0].out_channels  # type: ignore[union-attr, index, operator]
    new, new_card = with_steps(narrow, card, wider, seed=1, context=context)
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(new.eval()(image), narrow.eval()(image), rtol=0, atol=1e-5)
        rebuilt = new_card.build()
        rebuilt.load_state_dict(new.state_dict())
        assert torch.equal(rebuilt.eval()(image), new(image))
    assert new.aspp.project_pooled.out_channels == (context or had)  # type: ignore[union-attr]
    assert new.decoder.joined[0][1][0].out_channels == wider[0]  # type: ignore[union-attr, index, operator]


@pytest.mark.parametrize("context", [12, 17])
def test_a_context_that_cannot_be_made_is_refused(context: int) -> None:
    with pytest.raises(UsageError, match=f"the context has 16 channels and may have up to 16; {context} is out of that"):
        with_steps(CARD.build(), CARD, (24, 16), context=context)


def test_narrower_steps_are_fresh() -> None:
    wide, card = with_steps(CARD.build(), CARD, (24, 16, 16, 8))
    new, _ = with_steps(wide, card, (16, 16, 16, 8), seed=1)
    kept, fresh = wide.state_dict()["aspp.project.0.weight"], new.state_dict()["decoder.joined.1.1.0.weight"]
    assert torch.equal(new.state_dict()["aspp.project.0.weight"], kept)
    assert not torch.equal(fresh, wide.state_dict()["decoder.joined.1.1.0.weight"][:, :16])


def test_what_has_no_such_decoder_is_refused() -> None:
    card = ModelCard("enet", {"activation": "relu"})
    with pytest.raises(UsageError, match="a decoder in steps is for DeepLabv3\\+, not for enet"):
        with_steps(card.build(), card, (8,))
    with pytest.raises(UsageError, match="5 steps from output stride 32 go beyond the features of stride 2"):
        with_steps(CARD.build(), dataclasses.replace(CARD), (8,) * 5)
