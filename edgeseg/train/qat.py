"""`edgeseg train --qat`: data folders and a trained model, joined with quantisation-aware training.

The one place where training knows of int8. It trains on the same pictures as `edgeseg.train.run` does and is judged by
the same ones that are held back, so that the two can be compared.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from edgeseg.calib.observers import OBSERVERS
from edgeseg.compress.fake_quantised import FakeQuantised, calibrate
from edgeseg.compress.qat import Plan, fine_tune, saved_places
from edgeseg.errors import ModelError
from edgeseg.export.rewrites import rewrite
from edgeseg.models import MODELS
from edgeseg.models.checkpoint import load_model
from edgeseg.train.data import Pair, load
from edgeseg.train.loop import Pictures, Schedule, _batches, enlarge, to_tensors, validate
from edgeseg.train.losses import person_loss
from edgeseg.train.run import describe, material
from edgeseg.whole import write_whole

CALIBRATION = 128  # pictures
OBSERVER = "mse"


def train_for_int8(
    model: str,
    data: Sequence[Path],
    out: Path,
    plan: Plan,
    *,
    backgrounds: Path | None = None,
    teacher: str | None = None,
    size: tuple[int, int] | None = None,
    batch: int = 16,
    seed: int = 0,
    command: str = "",
    resume: bool = False,
    tell: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train `model` (a trained model's name or a checkpoint) for int8; see `edgeseg.compress.qat.fine_tune`.

    teacher  whose logits are imitated beside the truth; `model` itself, in float, if not given

    Raises ModelError for a network that is not trained, or that is a result of this already; DataError.
    """
    if model in MODELS:
        raise ModelError(f"{model} has fresh weights; train it first, and give the checkpoint to --qat")
    start = load_model(model)
    if start.card.ranges:
        raise ModelError(f"{model} is trained for int8 already; begin from the float model that it was made of")
    guide = load_model(teacher) if teacher else start
    if guide.card.classes != start.card.classes:
        raise ModelError(f"the teacher {teacher} knows other classes ({', '.join(guide.card.classes)}) than {model}")
    torch.manual_seed(seed)
    cv2.setNumThreads(1)
    pairs, training, validation, rooms = material(data, backgrounds)
    card = dataclasses.replace(start.card, name=out.name, size=size or start.card.size, data=describe(pairs), training=command)
    start.network.check_size(card.size)
    tell(f"{len(training)} pairs to train on, {len(validation)} held back, {len(rooms)} backgrounds")
    if resume:
        places = saved_places(out)
    else:
        tell(f"measuring ranges on {min(CALIBRATION, len(training))} pictures")
        places = calibrate(start.network, rewrite, card.size, OBSERVERS[OBSERVER], _plain(training, card.size))
    student = FakeQuantised(start.network, rewrite, card.size, places)
    schedule = Schedule(batch=batch, seed=seed)
    pictures = Pictures(training, rooms, card.size, schedule)

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        pictures.epoch = epoch
        for image, truth in _batches(pictures, schedule):
            yield image.contiguous(memory_format=torch.channels_last), truth

    scores = fine_tune(
        student,
        guide.network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        card,
        batches,
        max(1, len(training) // batch),
        lambda logits, truth: person_loss(enlarge(logits, truth.shape[-2:]), truth),
        lambda network: validate(network, validation, card.size),
        out,
        plan,
        resume=resume,
        tell=tell,
    )
    write_whole(out / "validation.json", json.dumps(sorted(pair.image.name for pair in validation), indent=0).encode())
    return scores


def _plain(pairs: list[Pair], size: tuple[int, int]) -> Iterator[Tensor]:
    """Up to CALIBRATION pictures as the runtime sees them, even over all of `pairs`, which are in order of their sources."""
    count = min(CALIBRATION, len(pairs))
    for i in range(count):
        frame, mask = load(pairs[i * len(pairs) // count])
        small = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)
        yield to_tensors(np.asarray(small, np.uint8), mask)[0][None]
