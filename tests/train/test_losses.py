from __future__ import annotations

import math

import pytest
import torch

from edgeseg.train.losses import border_weights, cross_entropy, dice, person_loss


def test_border_weights_by_hand() -> None:
    truth = torch.zeros(1, 1, 1, 7)
    truth[..., 4:] = 1
    assert border_weights(truth, extra=3, radius=1).flatten().tolist() == [1, 1, 1, 4, 4, 1, 1]


def test_cross_entropy_of_zero_logits_is_the_logarithm_of_two() -> None:
    truth = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    assert cross_entropy(torch.zeros(1, 1, 2, 2), truth).item() == pytest.approx(math.log(2))


def test_dice_by_hand() -> None:
    """Probabilities 1, 1, 0, 0 against 1, 0, 0, 0: 1 - (2 * 1 + 1) / (2 + 1 + 1) = 0.25."""
    logits = torch.tensor([50.0, 50.0, -50.0, -50.0]).reshape(1, 1, 2, 2)
    truth = torch.tensor([1.0, 0.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
    assert dice(logits, truth).item() == pytest.approx(0.25)


def test_a_picture_with_nobody_costs_nothing_if_nobody_is_seen() -> None:
    assert person_loss(torch.full((1, 1, 8, 8), -30.0), torch.zeros(1, 1, 8, 8)).item() == pytest.approx(0, abs=1e-6)
