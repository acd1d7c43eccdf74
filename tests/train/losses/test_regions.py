from __future__ import annotations

import pytest
import torch

from edgeseg.train.losses import Batch
from edgeseg.train.losses.regions import Dice, FocalTversky, Jaccard, Tversky

# One right person pixel, one too many: TP 1, FP 1, FN 0.
ONE_TOO_MANY = Batch(
    torch.tensor([50.0, 50.0, -50.0, -50.0]).reshape(1, 1, 2, 2), torch.tensor([1.0, 0, 0, 0]).reshape(1, 1, 2, 2)
)
# Class 0 said everywhere; true are 0, 0, 1 and one unknown. Class 0 has TP 2, FP 1, FN 0, class 1 FN 1; class 2 is absent.
ALL_ROAD = Batch(torch.tensor([50.0, 0.0, 0.0])[None, :, None, None].expand(1, 3, 1, 4), torch.tensor([[[0, 0, 1, 255]]]))

BY_HAND = [
    (Dice(), ONE_TOO_MANY, 1 - (2 + 1) / (3 + 1)),
    (Jaccard(), ONE_TOO_MANY, 1 - (1 + 1) / (2 + 1)),
    (Tversky(fp=0.3, fn=0.7), ONE_TOO_MANY, 1 - (1 + 1) / (1.3 + 1)),
    (FocalTversky(fp=0.3, fn=0.7, gamma=2), ONE_TOO_MANY, (1 - 2 / 2.3) ** 0.5),
    (Dice(), ALL_ROAD, 1 - (4 / 5 + 0) / 2),
    (Jaccard(), ALL_ROAD, 1 - (2 / 3 + 0) / 2),
    (Tversky(fp=0.3, fn=0.7), ALL_ROAD, 1 - (2 / 2.3 + 0) / 2),
    (FocalTversky(fp=0.3, fn=0.7, gamma=2), ALL_ROAD, ((1 - 2 / 2.3) ** 0.5 + 1) / 2),
]


@pytest.mark.parametrize(("loss", "batch", "expected"), BY_HAND)
def test_by_hand(loss, batch: Batch, expected: float) -> None:
    assert loss(batch).item() == pytest.approx(expected)


def test_tversky_is_jaccard_and_dice() -> None:
    random = torch.Generator().manual_seed(0)
    batch = Batch(torch.randn(2, 3, 4, 4, generator=random), torch.randint(0, 3, (2, 4, 4), generator=random))
    torch.testing.assert_close(Tversky(1, 1)(batch), Jaccard()(batch))
    torch.testing.assert_close(Tversky(0.5, 0.5)(batch), Dice()(batch))
