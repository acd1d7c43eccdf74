from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from edgeseg.errors import ModelError
from edgeseg.models import MODELS
from edgeseg.models.checkpoint import ModelCard
from edgeseg.train.task import Target, Task, begin, cut, paste
from tests.models.test_imagenet import foreign_state

PERSON = ("background", "person")
SMALL = {"width": 0.25, "output_stride": 32, "aspp_channels": 16, "decoder_channels": 16, "low_channels": 8}


@pytest.mark.parametrize(
    ("task", "channels"),
    [
        (Task(PERSON), 1),
        (Task(PERSON, ("cat", "dog", "chair")), 4),
        (Task(("sky", "road", "car")), 3),
    ],
)
def test_channels(task: Task, channels: int) -> None:
    assert task.channels == channels


@pytest.mark.parametrize("architecture", ["enet", "deeplabv3plus-mobilenetv2"])
def test_auxiliary_channels_are_cut_without_a_change_to_the_others(architecture: str) -> None:
    card = ModelCard(architecture, {"activation": "relu"} if architecture == "enet" else SMALL, size=(32, 32))
    task = Task(PERSON, ("cat", "dog"))
    large, small = task.build(card).eval(), card.build().eval()
    small.load_state_dict(cut(large.state_dict(), small))
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(small(image), large(image)[:, :1])
    again = task.build(card).eval()
    paste(small.state_dict(), again)
    torch.testing.assert_close(again(image)[:, :1], small(image))


def test_weights_of_another_network_are_refused() -> None:
    network = ModelCard("enet", {"activation": "relu"}, size=(32, 32)).build()
    with pytest.raises(ModelError, match="another architecture"):
        paste(ModelCard("deeplabv3plus-mobilenetv2", SMALL, size=(32, 32)).build().state_dict(), network)


def test_loss_by_hand() -> None:
    """Two pixels: a person that is known, and one that only the auxiliary classes know."""
    task = Task(PERSON, ("cat", "dog"))
    logits = torch.tensor([[40.0, 0.0], [0.0, 40.0], [0.0, 0.0]])[None, :, None, :]
    target = Target(torch.tensor([[[[1.0, -1.0]]]]), torch.tensor([[[255, 0]]]))
    assert task.loss(logits, target).item() == pytest.approx(0, abs=1e-6)
    wrong = Target(target.matte, torch.tensor([[[255, 1]]]))
    assert task.loss(logits, wrong).item() == pytest.approx(0.4 * (40 + 0.5), rel=1e-4)


def test_another_loss_and_class_weights_by_hand() -> None:
    """A person pixel that costs ln 2 with weight 3, a background one that costs nothing with weight 1; the auxiliary
    classes, right where they are known, have the loss that they always have.
    """
    task = Task(PERSON, ("cat", "dog"), "2*ce", (1.0, 3.0))
    logits = torch.tensor([[0.0, -40.0], [0.0, 40.0], [0.0, 0.0]])[None, :, None, :]
    target = Target(torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[255, 0]]]))
    assert task.loss(logits, target).item() == pytest.approx(2 * math.log(2) * 3 / 4, rel=1e-4)
    weighted = Task(("sky", "sea", "road"), loss_text="ce", class_weights=(1.0, 3.0, 1.0))
    classes = Target(target.matte, torch.tensor([[[1, 0]]]))
    # -log softmax: ln 3 at the first pixel (class 1, weight 3); at the second class 0 of (-40, 40, 0) costs 80
    assert weighted.loss(logits, classes).item() == pytest.approx((3 * math.log(3) + 80) / 4, rel=1e-4)


def test_a_backbone_begins_with_foreign_weights(tmp_path: Path) -> None:
    network = MODELS["deeplabv3plus-mobilenetv2"](1, backbone="efficientnet-lite0", output_stride=32, aspp_channels=8)
    state = foreign_state(network.backbone)  # type: ignore[arg-type]
    torch.save(state, tmp_path / "lite0.pth")
    begin(network, tmp_path / "lite0.pth")
    block = network.backbone.stages[0][0].block  # type: ignore[union-attr,index]
    assert torch.equal(block[0][0].weight, state["_blocks.0._depthwise_conv.weight"])
    with pytest.raises(ModelError, match="this architecture has none"):
        begin(MODELS["enet"](1), tmp_path / "lite0.pth")
