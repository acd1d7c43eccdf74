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
from edgeseg.errors import ModelError, UsageError
from edgeseg.export.rewrites import rewrite
from edgeseg.models import MODELS
from edgeseg.models.checkpoint import load_model
from edgeseg.train.material import Folders, read_material
from edgeseg.train.run import SCENES
from edgeseg.train.samples import Augmentation, Pictures, Sample, to_tensors
from edgeseg.train.task import Target, Task
from edgeseg.train.validate import validate
from edgeseg.whole import write_whole

CALIBRATION = 128  # pictures
OBSERVER = "mse"


def train_for_int8(
    model: str,
    folders: Folders,
    out: Path,
    plan: Plan,
    *,
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
    size = size or start.card.size
    start.network.check_size(size)
    torch.manual_seed(seed)
    cv2.setNumThreads(1)
    material = read_material(folders, round(max(size) * 1.25))
    if material.classes != start.card.classes:
        raise UsageError(f"{model} knows {', '.join(start.card.classes)}, the data {', '.join(material.classes)}")
    told = "\n".join(filter(None, [start.card.training, command]))
    card = dataclasses.replace(start.card, name=out.name, size=size, data=material.note, training=told)
    tell(f"{len(material.samples)} pictures to train on, {len(material.held)} held back, {len(material.rooms)} backgrounds")
    for notice in material.notices:
        tell(notice)
    if resume:
        places = saved_places(out)
    else:
        tell(f"measuring ranges on {min(CALIBRATION, len(material.samples))} pictures")
        places = calibrate(start.network, rewrite, size, OBSERVERS[OBSERVER], _plain(material.samples, size))
    student = FakeQuantised(start.network, rewrite, size, places)
    pictures = Pictures(material.samples, material.rooms, Augmentation() if material.person else SCENES, seed)
    task = Task(card.classes, loss_text=card.loss, class_weights=card.class_weights)

    def batches(epoch: int) -> Iterator[tuple[Tensor, Target]]:
        pictures.epoch = epoch
        for image, target in pictures.batches([size], batch):
            yield image.contiguous(memory_format=torch.channels_last), target

    scores = fine_tune(
        student,
        guide.network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        card,
        batches,
        max(1, len(pictures) // batch),
        task.loss,
        lambda network: validate(network, material.held, card),
        out,
        plan,
        resume=resume,
        tell=tell,
    )
    write_whole(out / "validation.json", json.dumps(material.held_names, indent=0).encode())
    return scores


def _plain(samples: Sequence[Sample], size: tuple[int, int]) -> Iterator[Tensor]:
    """Up to CALIBRATION pictures as the runtime sees them, evenly over `samples`, which are in order of sources."""
    count = min(CALIBRATION, len(samples))
    for i in range(count):
        frame = samples[i * len(samples) // count].frame
        small = np.asarray(cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        yield to_tensors(small, None)[0][None]
