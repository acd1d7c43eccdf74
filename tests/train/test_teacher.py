"""Distillation in float: `edgeseg train --teacher`."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from edgeseg.errors import ModelError
from edgeseg.models.checkpoint import ModelCard, load_model
from edgeseg.models.distil import Teacher
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.train.loop import train
from edgeseg.train.samples import Augmentation, Sample
from edgeseg.train.schedule import Schedule

SMALL = {"width": 0.25, "output_stride": 32, "aspp_channels": 16, "decoder_channels": 16, "low_channels": 8}
CARD = ModelCard("deeplabv3plus-mobilenetv2", SMALL, size=(32, 32), name="tiny")
SCHEDULE = Schedule(
    epochs=1, batch=4, evaluate_every=9, sizes=((0.0, 1.0),), augmentation=Augmentation(webcam=False, composite=0.0)
)
UNKNOWN = [Sample(np.full((32, 32, 3), 60 * i, np.uint8), None, np.full((32, 32), 255, np.uint8)) for i in range(4)]


class Certain(SegmentationNetwork):
    """Says "person" everywhere, and keeps the pictures that it was asked about."""

    size_divisor, output_stride = 16, 16

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(image)
        return torch.full((len(image), 1, image.shape[2] // 16, image.shape[3] // 16), 4.0)


def taught(out: Path, network: Certain, weight: float = 1.0, resume: bool = False, **changes: int) -> float:
    """The loss of the last epoch."""
    teacher = Teacher("certain", network, CARD.classes, "0123", weight)
    schedule = dataclasses.replace(SCHEDULE, **changes)
    train(CARD, UNKNOWN, [], [], out, schedule, auxiliary=("sea",), teacher=teacher, resume=resume, tell=lambda _: None)
    with (out / "log.csv").open() as file:
        return float(list(csv.DictReader(file))[-1]["loss"])


def test_unlabelled_pixels_are_learned_from_the_teacher(tmp_path: Path) -> None:
    """No pixel has a truth, so the loss is the distillation of the first channel alone, in proportion to its weight."""
    network = Certain()
    once, thrice = taught(tmp_path / "one", network), taught(tmp_path / "three", network, weight=3.0)
    assert once > 0.1
    assert thrice == pytest.approx(3 * once, rel=1e-3)
    assert [image.shape for image in network.seen] == [(4, 3, 32, 32)] * 2


def test_resume_wants_the_same_teacher(tmp_path: Path) -> None:
    taught(tmp_path, Certain())
    with pytest.raises(ModelError, match=r"with teacher 0123 weight 1 temperature 2, not 0123 weight 2 .*; give the"):
        taught(tmp_path, Certain(), weight=2.0, resume=True, epochs=2)
    with pytest.raises(ModelError, match=r"with teacher 0123 weight 1 temperature 2, not none; "):
        train(CARD, UNKNOWN, [], [], tmp_path, SCHEDULE, auxiliary=("sea",), resume=True, tell=lambda _: None)
    taught(tmp_path, Certain(), resume=True, epochs=2)
    assert load_model(tmp_path / "last.safetensors").card.channels == 1
