"""One step of training, on a network that can be followed by hand: one convolution, no batch norm."""

from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor

from edgeseg import models
from edgeseg.models.checkpoint import ModelCard
from edgeseg.train.distributed import Processes
from edgeseg.train.learner import Learner
from edgeseg.train.schedule import Schedule
from edgeseg.train.task import Target, Task
from tests.train.tiny import Plain

CARD = ModelCard("plain", loss="ce", size=(4, 4))


@pytest.fixture
def learner(monkeypatch: pytest.MonkeyPatch) -> Learner:
    monkeypatch.setitem(models.MODELS, "plain", Plain)
    torch.manual_seed(0)
    learner = Learner(CARD, Task(CARD.classes, (), "ce"), Schedule(precision="float32"), Processes())
    with torch.no_grad():
        for p in learner.network.parameters():
            p.zero_()
    return learner


def batch(value: float, person: float, count: int = 2) -> tuple[Tensor, Target]:
    matte = torch.full((count, 1, 4, 4), person)
    return torch.full((count, 3, 4, 4), value), Target(matte, torch.full((count, 4, 4), 255))


def gradients(learner: Learner) -> list[Tensor]:
    return [p.grad.clone() for p in learner.network.parameters() if p.grad is not None]


def test_accumulation_by_hand(learner: Learner) -> None:
    """At zero weights p is 1/2, so a pixel's gradient is (1/2 - t) of its value: 1 where t is 1 there, 0 elsewhere.

    Two batches, of 1 with t = 1 and of 0.2 with t = 0: the weights get (-0.5 * 1 + 0.5 * 0.2) / 2, the bias 0. The norm of
    all is 0.35, below what is clipped.
    """
    loss = learner.step(iter([batch(1.0, 1.0), batch(0.2, 0.0)]), 2, 0.1)
    assert loss.item() == pytest.approx(0.693147, rel=1e-5)
    weight, bias = gradients(learner)
    assert weight.flatten().tolist() == pytest.approx([-0.2] * 3)
    assert bias.tolist() == pytest.approx([0.0], abs=1e-7)
    # Adam's first step is the rate, against the gradient's sign; weight decay does nothing to 0.
    assert next(learner.network.parameters()).flatten().tolist() == pytest.approx([0.1] * 3, rel=1e-4)


def test_small_batches_accumulated_are_one_large_batch(learner: Learner) -> None:
    generator = torch.Generator().manual_seed(1)
    image, matte = torch.rand(6, 3, 4, 4, generator=generator), torch.rand(6, 1, 4, 4, generator=generator)
    ids = torch.full((6, 4, 4), 255)
    learner.step([(image, Target(matte, ids))], 1, 0.0)
    whole = gradients(learner)
    parts = [(image[i : i + 2], Target(matte[i : i + 2], ids[i : i + 2])) for i in (0, 2, 4)]
    learner.step(parts, 3, 0.0)
    for a, b in zip(whole, gradients(learner), strict=True):
        assert a.abs().max() > 1e-3
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_a_state_is_all_that_a_learner_is(learner: Learner) -> None:
    """After the same further step both have the same weights, averages and Adam moments."""
    other = Learner(CARD, Task(CARD.classes, (), "ce"), Schedule(precision="float32"), Processes())
    learner.step([batch(1.0, 1.0)], 1, 0.1)
    file = io.BytesIO()
    torch.save(learner.state(), file)
    file.seek(0)
    other.load(torch.load(file, weights_only=True))
    for each in (learner, other):
        each.step([batch(0.3, 0.0)], 1, 0.1)
    states = learner.state(), other.state()
    assert str(states[0]) == str(states[1])
    assert states[0]["steps"] == 2
