"""A training of a second: two small networks, some pictures made from numbers, and `learn`, which trains in this process.

    python -m tests.train.tiny OUT [--network tiny] [--epochs 6] [--batch 4] [--resume] [--kill N]

does so in a process of its own, which may be one of several, and which kills itself in the middle of writing its Nth file.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeseg.models import MODELS
from edgeseg.models.checkpoint import ModelCard
from edgeseg.models.layers import SegmentationNetwork, conv_bn
from edgeseg.train.curves import Record
from edgeseg.train.distributed import Processes, processes
from edgeseg.train.loop import train
from edgeseg.train.samples import Augmentation, Sample
from edgeseg.train.schedule import Schedule
from edgeseg.train.validate import Held


class Plain(SegmentationNetwork):
    """logits = w . image + b at every pixel: no batch norm, and gradients that can be followed by hand."""

    size_divisor, output_stride = 1, 1

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.line = nn.Conv2d(3, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.line(image)
        return out


class Tiny(SegmentationNetwork):
    """Batch norm and dropout, which have states of their own."""

    size_divisor, output_stride = 2, 2

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_bn(3, 8, 3, stride=2, activation=nn.ReLU()),
            conv_bn(8, 8, 3, groups=8, activation=nn.ReLU()),
            nn.Dropout2d(0.3),
            nn.Conv2d(8, channels, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.layers(image)
        return out


NETWORKS: dict[str, Any] = {"plain": Plain, "tiny": Tiny}


def pictures(count: int) -> list[Sample]:
    """Noise with a brighter square, the person, whose place differs."""
    samples = []
    for i in range(count):
        rng = np.random.default_rng(i)
        mask = np.zeros((16, 16), np.uint8)
        top, left = rng.integers(0, 8, 2)
        mask[top : top + 8, left : left + 8] = 255
        frame = rng.integers(0, 100, (16, 16, 3)) + mask[..., None] // 2
        samples.append(Sample(frame.astype(np.uint8), mask, origins=("ab"[i % 2],)))
    return samples


def learn(
    out: Path,
    network: str = "tiny",
    epochs: int = 6,
    batch: int = 4,
    resume: bool = False,
    minutes: float | None = None,
    evaluate_every: int = 2,
    where: Processes | None = None,
    records: Sequence[Record] = (),
) -> list[str]:
    """The lines that were told. The result is in `out`."""
    MODELS.update(NETWORKS)
    lines: list[str] = []
    try:
        card = ModelCard(network, size=(16, 16), name=network, loss="ce")
        schedule = Schedule(
            epochs=epochs,
            minutes=minutes, batch=batch, evaluate_every=evaluate_every, learning_rate=0.02, average=0.9, precision="float32",
            augmentation=Augmentation(webcam=False, composite=0.2), framings=((16, 16), (16, 12)),
        )  # fmt: skip
        held = [
            Held(sample.frame, (sample.mask > 127).astype(np.uint8), "a") for sample in pictures(2) if sample.mask is not None
        ]
        rooms = [np.full((16, 16, 3), 60, np.uint8)]
        samples = pictures(14)
        train(
            card, samples, held, rooms, out, schedule, shares={"a": 1.5}, resume=resume, where=where, tell=lines.append,
            records=records,
        )  # fmt: skip
    finally:
        for name in NETWORKS:
            del MODELS[name]
    return lines


def kill_at(count: int) -> None:
    """This process kills itself when it is about to give its `count`th file its name."""
    rename = os.replace

    def replace(*names: Any) -> None:
        nonlocal count
        count -= 1
        if not count:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*names)

    os.replace = replace  # type: ignore[assignment]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", default="tiny")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--kill", type=int, default=0)
    options = vars(parser.parse_args())
    torch.set_num_threads(1)
    if count := options.pop("kill"):
        kill_at(count)
    with processes("cpu") as where:
        learn(**options, where=where)


if __name__ == "__main__":
    main()
