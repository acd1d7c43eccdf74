from __future__ import annotations

import itertools

import pytest
import torch

from edgeseg.train.losses import Batch
from edgeseg.train.losses.lovasz import Lovasz, extension


def one_minus_iou(wrong: tuple[float, ...], truth: tuple[float, ...]) -> float:
    predicted = [t != w for t, w in zip(truth, wrong, strict=True)]
    union = sum(p or bool(t) for p, t in zip(predicted, truth, strict=True))
    return 1 - sum(p and bool(t) for p, t in zip(predicted, truth, strict=True)) / union if union else 0.0


def test_where_pixels_are_right_or_wrong_it_is_the_iou() -> None:
    """All 16 ways to be wrong in 4 pixels, for each of the 16 truths."""
    cases = list(itertools.product(itertools.product((0.0, 1.0), repeat=4), repeat=2))
    wrong, truth = (torch.tensor([case[i] for case in cases]) for i in range(2))
    torch.testing.assert_close(extension(wrong, truth), torch.tensor([one_minus_iou(*case) for case in cases]))


def test_extension_by_hand() -> None:
    """Largest error 0.8 is a false positive (1 - IoU = 1 - 1/2), then 0.5 the miss of the one true pixel (1 - 0 = 1)."""
    value = extension(torch.tensor([[0.5, 0.8, 0.1]]), torch.tensor([[1.0, 0, 0]]))
    assert value.item() == pytest.approx(0.8 * 0.5 + 0.5 * 0.5 + 0.1 * 0)


def test_hinge_by_hand() -> None:
    """Logits 2 (true), 1 (false), unknown: errors 1 - 2 < 0 and 1 + 1 = 2. The false positive comes first: 1 - 1/2."""
    batch = Batch(torch.tensor([[[[2.0, 1.0, 9.0]]]]), torch.tensor([[[[1.0, 0.0, -1.0]]]]))
    assert Lovasz()(batch).item() == pytest.approx(2 * 0.5)


def test_softmax_by_hand() -> None:
    """Class 0 said everywhere; true are 0, 0, 1, unknown: IoU 2/3 and 0, class 2 absent."""
    logits = torch.tensor([50.0, 0.0, 0.0])[None, :, None, None].expand(1, 3, 1, 4)
    assert Lovasz()(Batch(logits, torch.tensor([[[0, 0, 1, 255]]]))).item() == pytest.approx(1 - (2 / 3 + 0) / 2)


def test_per_image() -> None:
    """One picture right, one with the person missed (error 1 + 1): mean of 0 and 2."""
    batch = Batch(torch.tensor([[[[5.0]]], [[[-1.0]]]]), torch.ones(2, 1, 1, 1))
    assert Lovasz(per_image=True)(batch).item() == pytest.approx(1.0)
    assert Lovasz()(batch).item() == pytest.approx(2 * 0.5)
