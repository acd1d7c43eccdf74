from __future__ import annotations

import pytest
import torch

from edgeseg.train.losses import Batch
from edgeseg.train.losses.borders import Boundary, Hausdorff

# A row of 4 (diagonal sqrt 17) with the person on the right half: signed distances 1.5, 0.5, -0.5, -1.5.
DIAGONAL = 17**0.5
TRUTH = torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]])


def said(*values: float) -> torch.Tensor:
    return 50.0 * torch.tensor(values).reshape(1, 1, 1, -1)


def test_boundary_by_hand() -> None:
    assert Boundary()(Batch(said(-1, -1, 1, 1), TRUTH)).item() == pytest.approx(0, abs=1e-6)
    # one pixel too many beside the border, and one at the end
    assert Boundary()(Batch(said(-1, 1, 1, 1), TRUTH)).item() == pytest.approx(0.5 / DIAGONAL / 4)
    assert Boundary()(Batch(said(1, -1, 1, 1), TRUTH)).item() == pytest.approx(1.5 / DIAGONAL / 4)
    # all missed: 0.5 and 1.5
    assert Boundary()(Batch(said(-1, -1, -1, -1), TRUTH)).item() == pytest.approx(2 / DIAGONAL / 4)


def test_boundary_of_classes_counts_both_sides() -> None:
    """The pixel beside the border is taken for the other class: 0.5 for the one, 0.5 for the other; one is unknown."""
    ids = torch.tensor([[[255, 0, 1, 1]]])
    logits = torch.stack([said(1, -1, -1, -1)[0, 0], said(-1, 1, 1, 1)[0, 0]])[None]
    assert Boundary()(Batch(logits, ids)).item() == pytest.approx((0.5 + 0.5) / DIAGONAL / 3)


def test_hausdorff_by_hand() -> None:
    """One pixel too many: predicted border between 0 and 1, which is 0.5 away from pixel 1, as the true one is."""
    assert Hausdorff()(Batch(said(-1, 1, 1, 1), TRUTH)).item() == pytest.approx((0.25 + 0.25) / 17 / 4)
    assert Hausdorff()(Batch(said(-1, -1, 1, 1), TRUTH)).item() == pytest.approx(0, abs=1e-6)
    # All missed: no predicted border; 0.5^2 and 1.5^2 from the true one.
    assert Hausdorff()(Batch(said(-1, -1, -1, -1), TRUTH)).item() == pytest.approx((0.25 + 2.25) / 17 / 4)
    assert Hausdorff(alpha=1)(Batch(said(-1, 1, 1, 1), TRUTH)).item() == pytest.approx((0.5 + 0.5) / DIAGONAL / 4)


def test_no_border_no_loss() -> None:
    for loss in (Boundary(), Hausdorff()):
        assert loss(Batch(said(-1, -1, -1, -1), torch.zeros(1, 1, 1, 4))).item() == 0
