import math

import pytest
import torch

from edgeseg.compress.distil import distillation


def test_by_hand_with_one_logit():
    """Teacher 0 (probability 1/2), student 2 T: T^2 * (ln 1/2 / sigmoid(2) + ln 1/2 / (1 - sigmoid(2))) / 2."""
    p = 1 / (1 + math.exp(-2))
    expected = 9 * (0.5 * math.log(0.5 / p) + 0.5 * math.log(0.5 / (1 - p)))
    assert distillation(torch.full((1, 1, 2, 2), 6.0), torch.zeros(1, 1, 2, 2), 3.0).item() == pytest.approx(expected, rel=1e-5)


def test_two_classes_say_the_same_as_their_difference():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 4, 4, generator=generator), torch.randn(2, 2, 4, 4, generator=generator)
    one = distillation(student[:, 1:] - student[:, :1], teacher[:, 1:] - teacher[:, :1])
    assert distillation(student, teacher).item() == pytest.approx(one.item(), rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_is_left_to_learn_from_oneself(channels):
    logits = torch.randn(2, channels, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = distillation(logits, logits.detach())
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad.abs().max() < 1e-6


def test_a_smaller_teacher_is_enlarged():
    assert distillation(torch.full((1, 1, 8, 8), 2.0), torch.full((1, 1, 2, 2), 2.0)).item() == pytest.approx(0, abs=1e-6)
