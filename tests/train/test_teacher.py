"""Distillation in float: `edgeseg train --teacher`."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from edgeseg import models
from edgeseg.errors import ModelError, UsageError
from edgeseg.models.checkpoint import ModelCard, load_model
from edgeseg.models.distil import Teacher
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.train.distributed import Processes
from edgeseg.train.learner import Learner
from edgeseg.train.loop import train
from edgeseg.train.samples import Augmentation, Sample
from edgeseg.train.schedule import Schedule
from edgeseg.train.task import Target, Task
from tests.train.tiny import NETWORKS, Plain, pictures

SMALL = {"width": 0.25, "output_stride": 32, "aspp_channels": 16, "decoder_channels": 16, "low_channels": 8}
CARD = ModelCard("deeplabv3plus-mobilenetv2", SMALL, size=(32, 32), name="tiny")
SCHEDULE = Schedule(
    epochs=1, batch=4, evaluate_every=9, sizes=((0.0, 1.0),), augmentation=Augmentation(webcam=False, composite=0.0)
)
UNKNOWN = [Sample(np.full((32, 32, 3), 60 * i, np.uint8), None, np.full((32, 32), 255, np.uint8)) for i in range(4)]


class Certain(SegmentationNetwork):
    """Says "person" everywhere, and keeps the pictures that it was asked about."""

    size_divisor, output_stride = 16, 16

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(image)
        return torch.full((len(image), 1, image.shape[2] // 16, image.shape[3] // 16), 4.0)


def taught(out: Path, network: Certain, weight: float = 1.0, resume: bool = False, **changes: int) -> float:
    """The loss of the last epoch."""
    teacher = Teacher("certain", network, CARD.classes, "0123", weight)
    schedule = dataclasses.replace(SCHEDULE, **changes)
    train(CARD, UNKNOWN, [], [], out, schedule, auxiliary=("sea",), teacher=teacher, resume=resume, tell=lambda _: None)
    with (out / "log.csv").open() as file:
        return float(list(csv.DictReader(file))[-1]["loss"])


def test_unlabelled_pixels_are_learned_from_the_teacher(tmp_path: Path) -> None:
    """No pixel has a truth, so the loss is the distillation of the first channel alone, in proportion to its weight."""
    network = Certain()
    once, thrice = taught(tmp_path / "one", network), taught(tmp_path / "three", network, weight=3.0)
    assert once > 0.1
    assert thrice == pytest.approx(3 * once, rel=1e-3)
    assert [image.shape for image in network.seen] == [(4, 3, 32, 32)] * 2


def test_resume_wants_the_same_teacher(tmp_path: Path) -> None:
    taught(tmp_path, Certain())
    with pytest.raises(ModelError, match=r"with teacher 0123 weight 1 temperature 2, not 0123 weight 2 .*; give the"):
        taught(tmp_path, Certain(), weight=2.0, resume=True, epochs=2)
    with pytest.raises(ModelError, match=r"with teacher 0123 weight 1 temperature 2, not none; "):
        train(CARD, UNKNOWN, [], [], tmp_path, SCHEDULE, auxiliary=("sea",), resume=True, tell=lambda _: None)
    taught(tmp_path, Certain(), resume=True, epochs=2)
    assert load_model(tmp_path / "last.safetensors").card.channels == 1


class Half(SegmentationNetwork):
    """Says "person" in the right half with a logit of 4, and -4 in the left."""

    size_divisor, output_stride = 1, 1

    def forward(self, image: Tensor) -> Tensor:
        right = torch.arange(image.shape[3]) >= image.shape[3] // 2
        return (8.0 * right - 4).expand(len(image), 1, *image.shape[2:])


def test_the_boundary_by_hand() -> None:
    """At 2 degrees the teacher is sure by p = 1 / (1 + e^-2) = 0.8808 everywhere, the student by 1/2: a divergence of
    p ln 2p + (1 - p) ln 2(1 - p) = 0.32783, times 4. It is the same along the outline, where it counts a half more.
    """
    image, logits = torch.zeros(1, 3, 8, 16), torch.zeros(1, 1, 8, 16)
    plain = Teacher("half", Half(), CARD.classes, "0123")
    assert plain.loss(image, logits).item() == pytest.approx(1.31132, abs=1e-3)
    both = dataclasses.replace(plain, boundary=0.5)
    assert both.loss(image, logits).item() == pytest.approx(1.96698, abs=1e-3)
    wrong_inside = torch.where(torch.arange(16) < 2, 50.0, logits)  # further than 3 pixels from the outline
    assert both.loss(image, wrong_inside) - plain.loss(image, wrong_inside) == pytest.approx(0.65566, abs=1e-3)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, network in NETWORKS.items():
        monkeypatch.setitem(models.MODELS, name, network)


def line(bias: float) -> Plain:
    """Gives `bias` everywhere."""
    network = Plain(1).eval()
    with torch.no_grad():
        network.line.weight.zero_()
        network.line.bias.fill_(bias)
    return network


def featured(features: float, **changes: dict[str, str]) -> Teacher:
    return Teacher("line", line(-3.0), CARD.classes, "0123", features=features, **{"layers": {"line": "line"}, **changes})


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("bias", "added"), [(5.0, 1.0), (-5.0, 0.0)])
def test_the_features_by_hand(bias: float, added: float) -> None:
    """Divided by their root mean square the teacher's are -1 and the student's 1 or -1: a quarter of 2^2, or of nothing."""
    card = ModelCard("plain", loss="ce", size=(4, 4))
    image, truth = torch.ones(2, 3, 4, 4), Target(torch.ones(2, 1, 4, 4), torch.full((2, 4, 4), 255))
    losses = []
    for weight in (0.0, 0.25):
        schedule = Schedule(precision="float32")
        learner = Learner(card, Task(card.classes, (), "ce"), schedule, Processes(), teacher=featured(weight))
        learner.network.load_state_dict(line(bias).state_dict())
        losses.append(learner.loss(image, truth).item())
    assert losses[1] - losses[0] == pytest.approx(added, abs=1e-5)


@pytest.mark.usefixtures("small")
def test_features_of_layers_that_are_not_there() -> None:
    for layers, error, match in [
        ({"line": "nowhere"}, ModelError, "the teacher has no layer 'nowhere'"),
        ({}, UsageError, "which features of Plain are compared is not known; name layers with --hint STUDENT=TEACHER"),
    ]:
        with pytest.raises(error, match=match):
            featured(1.0, layers=layers).hints(Plain(1))
    assert featured(0.0).hints(Plain(1)) is None


class Interrupted(BaseException):
    """As Ctrl-C is."""


@pytest.mark.usefixtures("small")
def test_what_compares_features_is_resumed_too(tmp_path: Path) -> None:
    """Eight channels are compared with one through a convolution, which learns: interrupted, it goes on to the same weights."""
    torch.manual_seed(1)
    teacher = featured(2.0, layers={"layers.1": "line"})
    card = ModelCard("tiny", size=(16, 16), name="tiny", loss="ce")
    schedule = Schedule(epochs=3, batch=4, evaluate_every=1, learning_rate=0.02, precision="float32")
    results = []

    def interrupt(line: str) -> None:
        if line.startswith("epoch 1 "):
            raise Interrupted

    def one(out: Path, resume: bool = False, tell: object = lambda line: None) -> None:
        train(card, pictures(9), [], [], out, schedule, teacher=teacher, resume=resume, tell=tell)  # type: ignore[arg-type]

    one(tmp_path / "whole")
    with pytest.raises(Interrupted):
        one(tmp_path / "parts", tell=interrupt)
    one(tmp_path / "parts", resume=True)
    for part in ("whole", "parts"):
        state = torch.load(tmp_path / part / "state.pt", weights_only=True)
        assert {name: value.shape for name, value in state["hints"].items()} == {
            "adapters.layers/1.weight": (1, 8, 1, 1),
            "adapters.layers/1.bias": (1,),
        }
        results.append([*state["hints"].values(), *state["network"].values(), *state["average"].values()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    torch.manual_seed(schedule.seed)
    begun = Learner(card, Task(card.classes, (), "ce"), schedule, Processes(), teacher=teacher).hints
    assert begun is not None
    assert not torch.equal(results[0][0], next(begun.parameters()))
    assert load_model(tmp_path / "whole" / "last.safetensors").weights_sha256 == (
        load_model(tmp_path / "parts" / "last.safetensors").weights_sha256
    )
