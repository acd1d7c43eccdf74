from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeseg.errors import ModelError, UsageError
from edgeseg.models.checkpoint import ModelCard
from edgeseg.models.hints import Hints, attention, attention_distillation, feature_distillation


def features(*channels: tuple[float, ...]) -> Tensor:
    """(1, channels, 1, pixels)"""
    return torch.tensor(channels)[None, :, None]


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        ((3.0, 4.0), (1.0, 0.0), 2 - 2 * 3 / 5),  # twice 1 - the cosine between them
        ((3.0, 4.0), (0.6, 0.8), 0.0),
        ((3.0, 4.0), (-3.0, -4.0), 4.0),
        ((1.0, 0.0), (0.0, 7.0), 2.0),
        ((0.0, 0.0), (0.0, 7.0), 1.0),
        ((0.0, 0.0), (0.0, 0.0), 0.0),
    ],
)
def test_features_by_hand(student: tuple[float, ...], teacher: tuple[float, ...], expected: float) -> None:
    assert feature_distillation(features(student), features(teacher)).item() == pytest.approx(expected, abs=1e-6)
    both = feature_distillation(torch.cat([features(student)] * 2), torch.cat([features(teacher), features(student)]))
    assert both.item() == pytest.approx(expected / 2, abs=1e-6)  # the mean over two pictures, each by itself


def test_attention_by_hand() -> None:
    """((1 + 9) / 2, (4 + 0) / 2); a teacher of one channel with (10, 4) looks at the same places, one with (0, 1) does not."""
    student = features((1.0, 2.0), (3.0, 0.0))
    assert attention(student).flatten().tolist() == [5, 2]
    assert attention_distillation(student, features((10**0.5, 2.0))).item() == pytest.approx(0, abs=1e-6)
    cosine = 2 / (5**2 + 2**2) ** 0.5
    assert attention_distillation(student, features((0.0, 1.0))).item() == pytest.approx(2 - 2 * cosine)


def test_another_size_is_brought_to_the_students() -> None:
    student = torch.arange(1.0, 5)[None, None, None].expand(1, 1, 2, 4)
    assert feature_distillation(student, student.repeat_interleave(2, 2).repeat_interleave(2, 3)).item() < 0.01


class Blocks(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.ReLU())

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.b(self.a(image))
        return out


def pair(width: int = 6) -> tuple[Blocks, Blocks]:
    torch.manual_seed(0)
    return Blocks(4), Blocks(width).eval()


IMAGE = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_who_imitates_himself_has_nothing_to_learn() -> None:
    teacher = pair()[1]
    for kind in ("features", "attention"):
        with Hints(teacher, teacher, {"a": "a", "b": "b"}, kind) as hints:  # type: ignore[arg-type]
            assert torch.equal(hints.teach(IMAGE), teacher(IMAGE))
            assert hints.loss().item() == pytest.approx(0, abs=1e-6)
        assert list(hints.parameters()) == []


def test_the_mean_over_the_layers() -> None:
    student, teacher = pair(4)
    with Hints(student, teacher, {"a": "a", "b": "b"}) as hints:
        hints.teach(IMAGE)
        student(IMAGE)
        loss = hints.loss()
        first = student.a(IMAGE)
        parts = [feature_distillation(s, t) for s, t in [(first, teacher.a(IMAGE)), (student.b(first), teacher(IMAGE))]]
    assert loss.item() == pytest.approx(float(sum(p.item() for p in parts)) / 2, rel=1e-5)


@pytest.mark.parametrize("kind", ["features", "attention"])
def test_training_by_hints_alone_lessens_them(kind: Any) -> None:
    """From four channels to six: through 1x1 convolutions that learn with the student, or by attention."""
    student, teacher = pair()
    with Hints(student, teacher, {"a": "a", "b": "b"}, kind) as hints:
        assert [tuple(p.shape) for p in hints.parameters()] == ([(6, 4, 1, 1), (6,)] * 2 if kind == "features" else [])
        before = {name: value.clone() for name, value in teacher.state_dict().items()}
        optimizer = torch.optim.Adam([*student.parameters(), *hints.parameters()], 0.01)
        losses = []
        for _ in range(30):
            hints.teach(IMAGE)
            student(IMAGE)
            loss = hints.loss()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_nothing_is_left_behind() -> None:
    """Neither hooks, nor another mode, nor batch-norm statistics of the trial."""
    student, teacher = pair()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    with Hints(student, teacher, {"a": "a"}):
        pass
    assert student.training
    assert student.a.training
    assert not teacher.training
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    assert not any(layer._forward_hooks for network in (student, teacher) for layer in network.modules())


def test_layers_that_give_several_tensors() -> None:
    """ENet's downsampling gives its features and a mask; a narrower student learns the features."""
    card = ModelCard("enet", {"activation": "relu"}, size=(32, 32))
    student, teacher = card.build(), card.build().eval()
    with Hints(student, teacher, {"down1": "down1", "stage5": "stage5"}, size=(32, 32)) as hints:
        hints.teach(IMAGE)
        student(IMAGE)
        assert 0 < hints.loss().item() < 4


@pytest.mark.parametrize(
    ("layers", "kind", "error", "message"),
    [
        ({"c": "a"}, "features", ModelError, "the student has no layer 'c'"),
        ({"a": "a.9"}, "features", ModelError, "the teacher has no layer 'a.9'"),
        ({"a": "a"}, "gram", UsageError, "as features or attention, not as 'gram'"),
        ({}, "features", UsageError, "the name of a layer at least"),
    ],
)
def test_what_cannot_be_compared(layers: dict[str, str], kind: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Hints(*pair(), layers, kind)
