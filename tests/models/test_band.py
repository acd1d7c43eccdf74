from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from edgeseg.models.band import boundary_band, boundary_distillation, divergence
from edgeseg.models.distil import distillation

ROW = [-9.0, -1.0, -1.0, 1.0, 4.0, 9.0, 9.0]  # the boundary is between the third pixel and the fourth


def row(*values: float) -> Tensor:
    return torch.tensor(values)[None, None, None]


@pytest.mark.parametrize(
    ("radius", "expected"),
    [(0, [0, 0, 0, 0, 0, 0, 0]), (1, [0, 0, 1, 1, 0, 0, 0]), (2, [0, 1, 1, 1, 1, 0, 0]), (9, [1, 1, 1, 1, 1, 1, 1])],
)
def test_the_band_by_hand(radius: int, expected: list[int]) -> None:
    one = row(*ROW)
    assert boundary_band(one, radius).flatten().tolist() == expected
    three = torch.cat([torch.zeros_like(one), one, torch.full_like(one, -20)], 1)
    assert boundary_band(three, radius).flatten().tolist() == expected


def test_by_hand() -> None:
    """In the band the teacher has probabilities of sigmoid(-1 / 2) and sigmoid(1 / 2), the student 1 / 2 in both."""
    p = 1 / (1 + math.exp(-0.5))
    each = p * math.log(p / 0.5) + (1 - p) * math.log((1 - p) / 0.5)
    student = torch.zeros(1, 1, 1, 7).requires_grad_()
    loss = boundary_distillation(student, row(*ROW), temperature=2.0, radius=1)
    assert loss.item() == pytest.approx(4 * each, rel=1e-5)
    loss.backward()
    assert student.grad is not None
    assert (student.grad != 0).flatten().tolist() == [False, False, True, True, False, False, False]


def test_without_a_boundary_there_is_nothing_to_learn() -> None:
    student = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    teacher = torch.tensor([5.0, 0.0, 0.0])[None, :, None, None].expand(2, 3, 4, 4)
    loss = boundary_distillation(student, teacher)
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None
    assert not student.grad.any()


@pytest.mark.parametrize("channels", [1, 4])
def test_in_a_band_of_everything_it_is_distillation(channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, channels, 8, 8, generator=generator) for _ in range(2))
    expected = distillation(student, teacher, 3.0)
    assert boundary_distillation(student, teacher, 3.0, radius=8).item() == pytest.approx(expected.item(), rel=1e-4)
    assert divergence(student, student).abs().max() < 1e-6


def test_a_smaller_teacher_is_enlarged() -> None:
    teacher = torch.tensor([[-2.0, 2.0], [-2.0, 2.0]])[None, None]
    student = torch.nn.functional.interpolate(teacher, size=(6, 6), mode="bilinear", align_corners=False)
    assert boundary_distillation(student, teacher).item() == pytest.approx(0, abs=1e-6)
    assert boundary_distillation(student + 1, teacher).item() > 0.1
