"""`edgeseg train`: from data folders and options to a checkpoint."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.errors import UsageError
from edgeseg.models import MODELS
from edgeseg.models.checkpoint import ModelCard, load_model
from edgeseg.models.distil import Teacher
from edgeseg.models.imagenet import is_foreign
from edgeseg.train.curves import curves, events
from edgeseg.train.device import describe
from edgeseg.train.distributed import Processes
from edgeseg.train.loop import train
from edgeseg.train.losses import CLASS_LOSS, PERSON_LOSS, parse
from edgeseg.train.material import Folders, read_material
from edgeseg.train.samples import Augmentation
from edgeseg.train.schedule import Schedule
from edgeseg.train.weights import class_weights
from edgeseg.whole import write_whole

SCENES = Augmentation(webcam=False, composite=0.0)  # of pictures with labels


def train_model(
    model: str,
    folders: Folders,
    out: Path,
    schedule: Schedule,
    *,
    arguments: dict[str, Any] | None = None,
    initial: str | None = None,
    teacher: Teacher | None = None,
    size: tuple[int, int] | None = None,
    loss: str = "",
    class_weighting: str = "none",
    command: str = "",
    shares: Mapping[str, float] | None = None,
    where: Processes | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    tell: Callable[[str], None] = print,
    show: Callable[[str, float], None] = lambda what, share: None,
) -> dict[str, float]:
    """Train an architecture from fresh weights, or a trained model or checkpoint further; see `loop.train`.

    loss             an expression (`losses.parse`); "" is the default for the classes
    class_weighting  "none", "enet" or "median": of the pixels of the training pictures
    tensorboard      write an event file beside the curves
    """
    if loss:
        parse(loss)  # what is wrong with it is said before all pictures are read
    where = where or Processes()
    records = [events(out)] if tensorboard and where.first else []
    fresh = model in MODELS
    if fresh:
        card = ModelCard(model, arguments or {}, name=out.name, training=history(initial))
    elif arguments:
        raise UsageError(f"--set describes a new network, but {model} is trained already; leave it out")
    elif initial:
        raise UsageError(f"--initial is for a new network, but {model} is trained already; leave it out")
    else:
        card = dataclasses.replace(load_model(model).card, name=out.name, ranges={})
    machine = describe(where.device) + (f", {where.count} processes" if where.count > 1 else "")
    told = "\n".join(filter(None, [card.training, f"{command}; {machine}"]))
    card = dataclasses.replace(card, size=size or card.size, training=told)
    if teacher:
        card = dataclasses.replace(card, training=f"{card.training}; distilled from {teacher.name} ({teacher.how})")
    if schedule.framings:
        card = dataclasses.replace(card, framings=_framings(schedule.framings, card.size))
    longest = round(max(max(size) for size in (*schedule.framings, card.size)) * 1.25)
    material = read_material(folders, longest)
    if fresh:
        card = dataclasses.replace(card, classes=material.classes, person_class=1 if material.person else None)
    elif card.classes != material.classes:
        raise UsageError(
            f"{model} knows {', '.join(card.classes)}, the data {', '.join(material.classes)}; train an architecture"
        )
    if teacher:
        teacher.check(card.classes)
    if not material.person:
        schedule = dataclasses.replace(schedule, augmentation=SCENES)
    weights = class_weights(class_weighting, material.pixels)
    loss = loss or (PERSON_LOSS if material.person else CLASS_LOSS)
    card = dataclasses.replace(card, data=material.note, loss=" ".join(loss.split()), class_weights=weights)
    tell(
        f"{len(material.samples)} pictures to train on, {len(material.held)} held back, {len(material.rooms)} backgrounds"
        + (f", {len(material.auxiliary)} auxiliary classes" if material.auxiliary else "")
    )
    for notice in material.notices:
        tell(notice)
    scores = train(
        card,
        material.samples,
        material.held,
        material.rooms,
        out,
        schedule,
        auxiliary=material.auxiliary,
        initial=initial if fresh else model,
        teacher=teacher,
        shares=shares,
        where=where,
        resume=resume,
        tell=tell,
        show=show,
        records=[*records, curves(out / "curves.png", tell)] if where.first else [],
    )
    if where.first:
        write_whole(out / "validation.json", json.dumps(material.held_names, indent=0).encode())
    return scores


def _framings(sizes: Sequence[tuple[int, int]], size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Those that stand beside `size` for frames of another shape; a much smaller one is for another export."""
    least = 0.8 * size[0] * size[1]
    return tuple(dict.fromkeys(s for s in sizes if s != size and s[0] * s[1] >= least))


def history(initial: str | None) -> str:
    """How the model that a new network begins from was trained itself, a line a step."""
    return "" if initial is None or is_foreign(initial) else load_model(initial).card.training
