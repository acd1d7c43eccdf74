from __future__ import annotations

import pytest
import torch

from edgeseg.errors import ShapeError
from edgeseg.train.losses import Batch


def test_binary_by_hand() -> None:
    batch = Batch(torch.zeros(1, 1, 1, 3), torch.tensor([[[[0.25, 1.0, -1.0]]]]), torch.tensor([1.0, 5.0]))
    assert batch.known.flatten().tolist() == [True, True, False]
    assert batch.target.flatten().tolist() == [0.25, 1, 0]
    assert batch.probability.flatten().tolist() == [0.5, 0.5, 0]
    assert batch.weights.flatten().tolist() == [0.75 * 1 + 0.25 * 5, 5, 0]
    assert batch.filled[0].tolist() == [[0, 1, 1]]


def test_classes_by_hand() -> None:
    batch = Batch(torch.zeros(1, 2, 1, 3), torch.tensor([[[1, 255, 0]]]), torch.tensor([2.0, 7.0]))
    assert batch.target[0, :, 0].tolist() == [[0, 0, 1], [1, 0, 0]]
    assert batch.probability[0, :, 0].tolist() == [[0.5, 0, 0.5]] * 2
    assert batch.weights.flatten().tolist() == [7, 0, 2]


def test_distances_are_shares_of_the_diagonal() -> None:
    """A picture of 3 x 4 (diagonal 5) with one person pixel at the left of the middle row."""
    truth = torch.zeros(1, 1, 3, 4)
    truth[0, 0, 1, 0] = 1
    row = Batch(torch.zeros_like(truth), truth).distance[0, 0, 1]
    torch.testing.assert_close(row, torch.tensor([-0.5, 0.5, 1.5, 2.5]) / 5)


@pytest.mark.parametrize(
    ("logits", "truth"),
    [
        (torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2)),
        (torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)),
        (torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long)),
        (torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 3, dtype=torch.long)),
    ],
)
def test_shapes_that_do_not_fit(logits: torch.Tensor, truth: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match="do not fit"):
        Batch(logits, truth)
