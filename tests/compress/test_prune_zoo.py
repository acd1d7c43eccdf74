"""Half of the multiply-adds of every network that there is."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from edgeseg import assets
from edgeseg.compress.prune import prune, pruned_card
from edgeseg.models import MODELS
from edgeseg.models.checkpoint import Model, load_model
from edgeseg.models.mobilenet import BACKBONES
from edgeseg.report.cost import count

DEEPLAB = "deeplabv3plus-mobilenetv2"
ARCHITECTURES = [(name, {}) for name in MODELS if name != DEEPLAB] + [(DEEPLAB, {"backbone": name}) for name in BACKBONES]


def model_of(name: str, arguments: dict[str, str]) -> Model:
    model = load_model(name)
    if not arguments:
        return model
    card = dataclasses.replace(model.card, arguments=arguments)
    return Model(card.build().eval(), card, "")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments"), [*((name, {}) for name in sorted(assets.trained())), *ARCHITECTURES])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_half_of_every_network(name: str, arguments: dict[str, str], scope: str) -> None:
    model = model_of(name, arguments)
    size = model.card.size
    result = prune(model.network, size, macs=0.5, scope=scope)  # type: ignore[arg-type]
    assert 0.45 < result.macs / result.macs_before <= 0.5
    assert count(result.network, size).macs == result.macs
    image = torch.rand(1, 3, *size)
    again = pruned_card(model.card, result.network).build().eval()
    again.load_state_dict(result.network.state_dict())
    with torch.no_grad():
        logits = result.network(image)
        assert logits.shape == model.network(image).shape
        assert torch.equal(again(image), logits)
