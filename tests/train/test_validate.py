from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeseg.models.checkpoint import ModelCard
from edgeseg.train.validate import Held, iou, validate

CARD = ModelCard("enet", size=(32, 32))


class Constant(torch.nn.Module):
    """The same logits at every pixel."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)[None, :, None, None]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(image), -1, *image.shape[2:])


def test_validation_of_a_person_by_hand() -> None:
    """A network that says "person" everywhere: 4 of the 12 known pixels of one picture are, none of the other's."""
    frame = np.zeros((4, 4, 3), np.uint8)
    truth = np.zeros((4, 4), np.uint8)
    truth[0], truth[1] = 1, 255
    held = [Held(frame, truth, "a"), Held(frame, np.zeros((4, 4), np.uint8), "b")]
    scores = validate(Constant(1.0), held, CARD)  # type: ignore[arg-type]
    assert scores == {"iou": pytest.approx(4 / 28), "iou/a": pytest.approx(4 / 12), "iou/b": 0.0}


def test_validation_of_classes_by_hand() -> None:
    """Class 2 everywhere, which half of the picture is: IoU 0, none (absent), 1/2."""
    card = ModelCard("enet", classes=("sky", "sea", "road"), person_class=None, size=(32, 32))
    truth = np.zeros((4, 4), np.uint8)
    truth[2:] = 2
    scores = validate(Constant(0.0, 0.0, 1.0), [Held(np.zeros((4, 4, 3), np.uint8), truth, "a")], card)  # type: ignore[arg-type]
    assert scores == {"miou": pytest.approx(0.25), "iou/sky": 0.0, "iou/road": pytest.approx(0.5)}


def test_iou_of_a_matrix() -> None:
    assert iou(np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]])) == [pytest.approx(3 / 6), pytest.approx(4 / 7), None]


def test_nothing_held_back_has_no_scores() -> None:
    assert validate(Constant(1.0), [], CARD) == {}
