"""How each kind of step is done: from a checkpoint to the next."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from edgeseg.calib.frames import from_folder
from edgeseg.compress.statistics import re_estimate
from edgeseg.errors import DataError
from edgeseg.export.calibrated import CalibrationOptions
from edgeseg.export.choices import Choices
from edgeseg.export.files import Accuracy, Exported
from edgeseg.export.files import export as export_files
from edgeseg.export.quiet import quiet
from edgeseg.models.checkpoint import Model, ModelCard, load_checkpoint
from edgeseg.models.distil import Teacher, load_teacher
from edgeseg.models.hints import parse_hints
from edgeseg.recipes.job import Job, Made
from edgeseg.recipes.judge import judge, judge_files
from edgeseg.recipes.seen import as_trained, seen_by
from edgeseg.recipes.shape import FORMS, form
from edgeseg.recipes.steps import NO_TEACHER, ORIGINAL, Export, Finetune, Qat, Step, Training
from edgeseg.train.loop import train
from edgeseg.train.material import Material
from edgeseg.train.run import SCENES
from edgeseg.train.samples import Augmentation
from edgeseg.train.schedule import FULL, GROWING, Schedule
from edgeseg.train.weights import class_weights

LINE = 110  # characters
ESTIMATE = 12  # batches of pictures from which batch-norm statistics are estimated anew
BATCH = {True: 32, False: 8}  # of persons; of scenes with labels, whose pictures are large


def do_form(step: Step, job: Job) -> Made:
    """Any step that changes the network's form and trains nothing."""
    formed = form(step, job.model.network, job.card(), job.aim, seen_by(step, job), job.seed)
    before, after = (job.aim.costs(network).macs / 1e6 for network in (job.model.network, formed.network))
    made = dataclasses.replace(formed.card, training=f"{formed.card.training}; {before:.1f} to {after:.1f} MMAC")
    for line in formed.details:
        job.tell(textwrap.shorten(f"- {line}", LINE, placeholder=" ..."))  # the plan has all of it
    network = formed.network.requires_grad_(True)
    re_estimate(network, as_trained(job, ESTIMATE))
    return Made(network, made, judge(Model(network, made, ""), job.material.held))


def do_finetune(step: Finetune, job: Job) -> Made:
    person = job.material.person
    schedule = Schedule(
        epochs=step.epochs,
        minutes=job.minutes,
        batch=step.batch or BATCH[person],
        accumulate=step.accumulate,
        learning_rate=step.learning_rate,
        policy=step.schedule,
        precision=step.precision,
        average=step.average,
        augmentation=Augmentation() if person else SCENES,
        framings=job.sizes,
        sizes=GROWING if step.growing else FULL,
        seed=job.seed,
    )
    own = job.model.card
    train(
        job.card(
            ranges={},
            loss=" ".join(step.loss.split()) or own.loss,
            class_weights=class_weights(step.class_weights, job.material.pixels) if step.class_weights else own.class_weights,
        ),
        job.material.samples,
        job.material.held,
        job.material.rooms,
        job.folder,
        schedule,
        auxiliary=job.material.auxiliary,
        initial=job.checkpoint,
        teacher=teacher_of(step, job),
        shares=job.shares,
        resume=(job.folder / "state.pt").is_file(),
        tell=job.tell,
        show=job.show,
    )
    return _trained(job)


def do_qat(step: Qat, job: Job) -> Made:
    with quiet():  # torchao's talk of what else could be installed
        from edgeseg.compress.qat import Plan
        from edgeseg.train.qat import train_for_int8
    plan = Plan(
        epochs=step.epochs,
        minutes=job.minutes,
        learning_rate=step.learning_rate,
        distil=0.0 if step.teacher == NO_TEACHER else step.weight,
        temperature=step.temperature,
    )
    train_for_int8(
        str(job.checkpoint),
        job.folders,
        job.folder,
        plan,
        teacher=None if step.teacher == NO_TEACHER else _teacher_name(step, job),
        size=job.model.card.size,
        batch=step.batch,
        seed=job.seed,
        resume=(job.folder / "state.pt").is_file(),
        tell=job.tell,
    )
    return _trained(job)


def do_export(step: Export, job: Job) -> Made:
    """The network stays as it is; its files go to the folder of its checkpoint."""
    card, out = job.model.card, job.checkpoint.parent
    choices = Choices(step.precision, step.io, step.target)
    calibration = CalibrationOptions(step.observer, step.corrections)
    mixed = step.max_miou_drop is not None if step.mixed is None else step.mixed
    accuracy = Accuracy(step.min_agreement, step.max_miou_drop, mixed=mixed, force=step.force)
    pictures = from_folder(job.folders.data[0], step.pictures)
    written: list[Exported] = []
    with one_thread():  # on small networks more threads cost more than they bring
        for size in job.sizes:
            written += export_files(
                job.model, pictures, out,
                formats=step.formats, choices=choices, size=size, calibration=calibration, accuracy=accuracy, say=job.tell,
            )  # fmt: skip
    scores = {
        form: judge_files({f.spec.size: f.path for f in written if f.format == form}, card, job.material.held)
        for form in step.formats
    }
    rows = tuple(_file_row(file, scores[file.format]) for file in written)
    worst = min(scores.values(), key=lambda of: next(iter(of.values()), 0.0))
    return Made(job.model.network, card, worst, rows)


WORK: dict[type[Step], Callable[[Any, Job], Made]] = {
    **dict.fromkeys(FORMS, do_form),
    Finetune: do_finetune,
    Qat: do_qat,
    Export: do_export,
}


def teacher_of(step: Finetune, job: Job) -> Teacher | None:
    """Loaded; DataError for one that knows other classes."""
    if step.teacher == NO_TEACHER:
        return None
    teacher = load_teacher(
        _teacher_name(step, job),
        step.weight,
        step.temperature,
        boundary=step.boundary,
        features=step.features,
        layers=parse_hints(step.hints),
    )
    teacher.check(job.model.card.classes)
    return teacher


def check_classes(model: str, card: ModelCard, material: Material) -> None:
    """DataError where the data are of other classes than the model."""
    if card.classes != material.classes:
        known, got = ", ".join(card.classes), ", ".join(material.classes)
        raise DataError(f"{model} knows {known}, the data {got}; give data of its own")


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _teacher_name(step: Training, job: Job) -> str:
    return str(job.original) if step.teacher == ORIGINAL else step.teacher


def _trained(job: Job) -> Made:
    """What a training loop left in its folder."""
    done = load_checkpoint(job.folder / "last.safetensors")
    own = job.model.card
    card = dataclasses.replace(done.card, name=own.name, framings=own.framings, training=job.card().training)
    return Made(done.network, card, card.accuracy)


def _file_row(file: Exported, scores: dict[str, float]) -> dict[str, Any]:
    return {
        "path": str(file.path), "format": file.format, "precision": file.spec.precision, "size_hw": list(file.spec.size),
        "size_bytes": file.size_bytes, "agreement": round(file.parity.agreement, 5), "scores": scores,
        "float_layers": list(file.float_layers),
    }  # fmt: skip
