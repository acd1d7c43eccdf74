from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from edgeseg.train.losses import Batch
from edgeseg.train.losses.pixels import CrossEntropy, Focal, border_weights, separation_weights

RANDOM = torch.Generator().manual_seed(0)
PERSON = (torch.randn(2, 1, 5, 6, generator=RANDOM), torch.rand(2, 1, 5, 6, generator=RANDOM))
CLASSES = (torch.randn(2, 4, 5, 6, generator=RANDOM), torch.randint(0, 4, (2, 5, 6), generator=RANDOM))
CLASSES[1][0, :2] = 255
WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 3.0])


def strip(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(1, 1, 1, -1)


def test_as_torch_has_it() -> None:
    torch.testing.assert_close(CrossEntropy()(Batch(*PERSON)), F.binary_cross_entropy_with_logits(*PERSON))
    for weights in (None, WEIGHTS):
        torch.testing.assert_close(
            CrossEntropy()(Batch(*CLASSES, weights)), F.cross_entropy(*CLASSES, weight=weights, ignore_index=255)
        )


@pytest.mark.parametrize("options", [{}, {"border": True}, {"unet": True}])
def test_zero_logits_cost_the_logarithm_of_two_whatever_the_weights(options: dict[str, bool]) -> None:
    truth = torch.tensor([[[[0.0, 1.0], [1.0, -1.0]]]])
    batch = Batch(torch.zeros(1, 1, 2, 2), truth, torch.tensor([1.0, 9.0]))
    assert CrossEntropy(**options)(batch).item() == pytest.approx(math.log(2))


def test_class_weights_by_hand() -> None:
    """Costs 2 and 0 (nearly) of a person pixel and a background one, weights 3 and 1: 6 / 4."""
    batch = Batch(strip(-2, -30), strip(1, 0), torch.tensor([1.0, 3.0]))
    assert CrossEntropy()(batch).item() == pytest.approx(math.log(1 + math.exp(2)) * 3 / 4)


def test_border_weights_by_hand() -> None:
    truth = strip(0, 0, 0, 0, 1, 1, 1)
    assert border_weights(Batch(truth, truth), extra=3, radius=1).flatten().tolist() == [1, 1, 1, 4, 4, 1, 1]
    ids = torch.tensor([[[0, 0, 2, 2, 255, 2, 2, 255, 1, 1]]])  # a border is seen across what is not known
    weights = border_weights(Batch(torch.zeros(1, 3, 1, 10), ids), extra=3, radius=1)
    assert weights.flatten().tolist() == [1, 4, 4, 1, 1, 1, 1, 4, 1, 1]
    nothing = Batch(torch.zeros(1, 3, 1, 2), torch.full((1, 1, 2), 255))
    assert border_weights(nothing).flatten().tolist() == [1, 1]


def test_separation_weights_by_hand() -> None:
    """Two persons at 0 and 4 of a row: the pixel between, at 2, is 2 from both; that at 1 is 1 and 3 away. Those of the
    persons are 1 from their own border and 4 from the other.
    """
    truth = strip(1, 0, 0, 0, 1, 0)
    weights = separation_weights(Batch(truth, truth), w0=10, sigma=5).flatten()
    four, five = (1 + 10 * math.exp(-(d**2) / 50) for d in (4, 5))
    assert weights.tolist() == pytest.approx([five, four, four, four, five, 1 + 10 * math.exp(-36 / 50)])
    alone = strip(1, 0, 0, 0)
    assert separation_weights(Batch(alone, alone)).flatten().tolist() == [1, 1, 1, 1]


def test_focal_by_hand() -> None:
    """p = 0.5: (1 - 0.5)^2 ln 2; with gamma 0 it is the cross entropy."""
    half = Batch(strip(0, 0), strip(1, 0))
    assert Focal()(half).item() == pytest.approx(math.log(2) / 4)
    assert Focal(alpha=0.25)(half).item() == pytest.approx((0.25 + 0.75) / 2 * math.log(2) / 4)
    assert Focal()(Batch(torch.zeros(1, 4, 1, 1), torch.tensor([[[3]]]))).item() == pytest.approx((3 / 4) ** 2 * math.log(4))
    for data in (PERSON, CLASSES):
        torch.testing.assert_close(Focal(gamma=0)(Batch(*data)), CrossEntropy()(Batch(*data)))
