from __future__ import annotations

import math

import pytest
import torch

from edgeseg.train.losses import border_weights, class_loss, cross_entropy, dice, jaccard, person_loss


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


def test_what_is_not_known_of_a_person_costs_nothing() -> None:
    truth = torch.tensor([[[[1.0, 0.0, -1.0, -1.0]]]])
    right = torch.tensor([[[[30.0, -30.0, 30.0, -30.0]]]])
    assert cross_entropy(right, truth).item() == pytest.approx(0, abs=1e-6)
    assert dice(right, truth).item() == pytest.approx(0, abs=1e-6)


def test_jaccard_by_hand() -> None:
    """Class 0 said everywhere; true are 0, 0, 1 and one unknown: IoU 2/3 and 0, class 2 is absent."""
    logits = torch.tensor([50.0, 0.0, 0.0])[None, :, None, None].expand(1, 3, 1, 4)
    ids = torch.tensor([[[0, 0, 1, 255]]])
    assert jaccard(logits, ids).item() == pytest.approx(1 - (2 / 3 + 0) / 2)


def test_class_loss_of_zero_logits() -> None:
    """ln 2, and half of 1 - mean of (0.5 / (0.5 + 1 - 0.5 + 0.5), the same): each class has IoU 0.5 / 1.5."""
    ids = torch.tensor([[[0, 1, 255]]])
    assert class_loss(torch.zeros(1, 2, 1, 3), ids).item() == pytest.approx(math.log(2) + 0.5 * (1 - 1 / 3))
