"""What training pictures say to steps that change a network's form. The pictures that judge are never among them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from edgeseg.recipes.job import Job
from edgeseg.recipes.shape import Seen
from edgeseg.recipes.steps import Prune, Step, Substitute
from edgeseg.train.run import SCENES
from edgeseg.train.samples import Augmentation, Pictures, Sample, to_tensors
from edgeseg.train.task import Task
from edgeseg.train.truth import ClassIds
from edgeseg.train.validate import Held, validate

BATCH = 8  # pictures at once; for "taylor" many small batches say more than few large ones


def seen_by(step: Step, job: Job) -> Seen:
    """What the step needs to know of training pictures."""
    if isinstance(step, Substitute):
        return substitution_pictures(step, job)
    if isinstance(step, Prune) and step.importance == "taylor":
        card = job.model.card
        task = Task(card.classes, loss_text=card.loss, class_weights=card.class_weights)
        return Seen(taylor_batches(step, job), task.loss)
    return Seen()


def taylor_batches(step: Prune, job: Job) -> list[tuple[torch.Tensor, Any]]:
    """Training pictures, as training sees them, evenly over all sources, with their truth."""
    return list(_pictures(job, BATCH * step.batches).batches(list(job.sizes), BATCH))[: step.batches]


def as_trained(job: Job, count: int) -> Iterator[torch.Tensor]:
    """(n, 3, h, w) such pictures, in `count` batches of twice as many, or as many as there are."""
    for image, _ in _pictures(job, 2 * BATCH * count).batches(list(job.sizes), 2 * BATCH):
        yield image


def _pictures(job: Job, count: int) -> Pictures:
    return Pictures(known(job, count), [], Augmentation() if job.material.person else SCENES, job.seed)


def substitution_pictures(step: Substitute, job: Job) -> Seen:
    """The same, as the runtime sees them."""
    card, samples = job.model.card, known(job, step.pictures)
    small = [np.asarray(cv2.resize(s.frame, card.size[::-1], interpolation=cv2.INTER_AREA), np.uint8) for s in samples]
    tensors = [to_tensors(frame, None)[0] for frame in small]
    images = [torch.stack(tensors[i : i + BATCH]) for i in range(0, len(tensors), BATCH)]
    held = [Held(s.frame, truth_of(s, len(card.classes)), "") for s in samples]

    def score(network: nn.Module) -> float:
        return next(iter(validate(network, held, dataclasses.replace(card, framings=())).values()), 0.0)

    return Seen(images=images, score=score)


def known(job: Job, count: int) -> list[Sample]:
    """Up to `count` training pictures with a truth, evenly over all, which are in order of sources."""
    samples = [s for s in job.material.samples if (s.mask if job.material.person else s.ids) is not None]
    count = min(count, len(samples))
    return [samples[i * len(samples) // count] for i in range(count)]


def truth_of(sample: Sample, classes: int) -> ClassIds:
    """(h, w) class ids, 255 where unknown."""
    if sample.mask is not None and classes == 2:
        return np.asarray(sample.mask > 127, np.uint8)
    assert sample.ids is not None
    return sample.ids
