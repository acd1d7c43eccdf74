"""The training loop: epochs, each of which leaves a whole state, a log and, when it is judged, a checkpoint.

Nothing that a finished epoch has learned is lost when the process is killed, and with a length in epochs the continued
training gives the weights that an uninterrupted one does, bit for bit on one thread: the order of the pictures, their
augmentation and dropout depend on seed and epoch alone.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import cv2
import torch

from edgeseg.errors import DataError, ModelError, UsageError
from edgeseg.models.checkpoint import ModelCard, save_checkpoint
from edgeseg.models.distil import Teacher
from edgeseg.train.average import averaged_network
from edgeseg.train.curves import Record
from edgeseg.train.data import Frame
from edgeseg.train.device import loaders
from edgeseg.train.distributed import Processes
from edgeseg.train.learner import Learner
from edgeseg.train.log import Row, last_scores, write_log
from edgeseg.train.samples import Pictures, Sample
from edgeseg.train.schedule import Schedule
from edgeseg.train.state import load_state, save_state
from edgeseg.train.statistics import typical
from edgeseg.train.task import Task
from edgeseg.train.validate import Held, validate
from edgeseg.whole import make_folder, remove_parts

# Batches from which batch-norm statistics are estimated on the way, and at the end: 24 miss 0.4 points of IoU that 120 have.
ESTIMATE, LAST_ESTIMATE = 24, 120
WRITTEN = ("state.pt", "log.csv", "last.safetensors")
SAME = ("architecture", "classes", "teacher")  # settings that a training cannot go on without


def train(
    card: ModelCard,
    samples: Sequence[Sample],
    validation: Sequence[Held],
    backgrounds: Sequence[Frame],
    out: Path,
    schedule: Schedule,
    *,
    auxiliary: tuple[str, ...] = (),
    initial: str | Path | None = None,
    teacher: Teacher | None = None,
    shares: Mapping[str, float] | None = None,
    where: Processes | None = None,
    resume: bool = False,
    tell: Callable[[str], None] = print,
    show: Callable[[str, float], None] = lambda what, share: None,
    records: Sequence[Record] = (),
) -> dict[str, float]:
    """Train what `card` describes; gives the newest validation scores, see `validate`.

    auxiliary  classes that the ids of `samples` speak of, where they are not the network's own
    initial    a model to begin from, or a file of ImageNet weights for the backbone
    teacher    whose answers to the same batches are learned beside the truth
    shares     how often the pictures of a source are drawn in an epoch, where it is not once
    where      this process among those that train together; only the first one talks and writes
    tell       gets a line an epoch;  show  after each step what is being done, and the share of all that is done
    records    get all rows of the log after each epoch

    out/last.safetensors   the averaged network when it was judged last, a checkpoint like any other
    out/state.pt           all that `resume` needs
    out/log.csv            a row an epoch: epoch, seconds, loss, learning rate, validation scores
    """
    where = where or Processes()
    cv2.setNumThreads(1)
    torch.manual_seed(schedule.seed)
    task = Task(card.classes, auxiliary, card.loss, card.class_weights)
    learner = Learner(card, task, schedule, where, initial, teacher)
    data = Pictures(samples, backgrounds, schedule.augmentation, schedule.seed, shares)
    data.threads = loaders(where.device, where.count)
    data.full = max(schedule.framings or (card.size,), key=math.prod)
    batch = _batch(data, schedule, where)
    settings = _settings(card, schedule, auxiliary, teacher, data)
    state, rows, seconds = out / "state.pt", list[Row](), 0.0
    if resume:
        rows, seconds, changed = load_state(state, learner, settings, SAME)
        tell(f"resuming after epoch {len(rows)}" + (f", with other {', '.join(changed)} than before" if changed else ""))
    if where.first:
        make_folder(out)
        if state.is_file() and not resume:
            os.replace(state, out / "state.before.pt")
            tell(f"{state} of a training before this one is kept as state.before.pt")
        for name in WRITTEN:
            remove_parts(out / name)
        save_state(state, learner, rows, settings, seconds)
        write_log(out / "log.csv", rows)
    started = time.monotonic() - seconds

    def elapsed() -> float:
        now = time.monotonic() - started
        return where.same(now) if schedule.minutes else now  # by the clock all must agree on the learning rate

    judged = bool(rows and rows[-1].scores)
    for epoch in range(len(rows), schedule.epochs):
        progress = schedule.progress(epoch, elapsed())
        if progress >= 1 and judged:
            break
        where.seed(schedule.seed, epoch)
        learner.network.train()
        data.epoch = epoch
        sizes = [schedule.size(progress, size, learner.divisor) for size in schedule.framings or (card.size,)]
        batches = data.batches(sizes, batch, accumulate=schedule.accumulate, rank=where.rank, count=where.count)
        steps, done, total = data.steps(batch * schedule.accumulate), 0, torch.zeros((), device=where.device)
        for step in range(steps):
            progress = schedule.progress(epoch + step / steps, elapsed())
            if progress >= 1 and done:  # out of time; when that was while the last epoch was written, after one more step
                break
            total += learner.step(islice(batches, schedule.accumulate), schedule.accumulate, schedule.rate(progress))
            done += 1
            now = time.monotonic() - started
            so_far = schedule.progress(epoch + done / steps, now)
            show(f"epoch {epoch + 1} of {schedule.epochs}, {time_left(schedule.left(so_far, now))} left", so_far)
        batches.close()
        loss = where.mean(total.item() / max(done, 1))
        if not math.isfinite(loss):
            raise ModelError(f"the loss is {loss} in epoch {epoch + 1}; give a lower --rate, and --resume goes on before it")
        now = elapsed()
        progress = schedule.progress(epoch + 1, now)
        judged = progress >= 1 or (epoch + 1) % schedule.evaluate_every == 0
        estimate = LAST_ESTIMATE if progress >= 1 else ESTIMATE
        mine = judged and where.first
        scores = _judge(learner, data, batch, schedule, validation, out / "last.safetensors", estimate) if mine else {}
        rows.append(Row(epoch + 1, time.monotonic() - started, loss, schedule.rate(progress), scores))
        if where.first:
            save_state(state, learner, rows, settings, rows[-1].seconds)
            write_log(out / "log.csv", rows)
            tell(_line(rows[-1], schedule.left(progress, now)))
            for record in records:
                record(rows, progress >= 1)
    return last_scores(rows)


def time_left(minutes: float) -> str:
    """As in "2 h 05 min", "12 min" or "40 s"."""
    if minutes >= 100:
        return f"{int(minutes // 60)} h {int(minutes % 60):02} min"
    return f"{minutes:.0f} min" if minutes >= 2 else f"{60 * minutes:.0f} s"


def _judge(
    learner: Learner,
    data: Pictures,
    batch: int,
    schedule: Schedule,
    validation: Sequence[Held],
    path: Path,
    estimate: int,
) -> dict[str, float]:
    """Validation scores of the averaged network, which is written to `path` with them."""
    card, device = learner.card, learner.where.device
    batches = typical(data, schedule.framings or (card.size,), batch, estimate)
    images = (image.to(device, memory_format=torch.channels_last) for image in batches)
    network = averaged_network(card, learner.averaged, images, device, schedule.precision)
    batches.close()
    scores = validate(lambda image: network(image.to(device)).cpu(), validation, card)
    rounded = {key: round(value, 4) for key, value in scores.items()}
    save_checkpoint(path, network, dataclasses.replace(card, accuracy=rounded))
    return scores


def _batch(data: Pictures, schedule: Schedule, where: Processes) -> int:
    """Pictures in a batch: all that there are where they are fewer than the schedule says."""
    drawn = data.at_least()
    if not drawn:
        raise DataError("no pictures are left to train on")
    if drawn >= schedule.batch * schedule.accumulate:
        batch = schedule.batch
    elif schedule.accumulate == 1:
        batch = drawn
    else:
        raise UsageError(
            f"{schedule.accumulate} batches of {schedule.batch} are more than the {drawn} pictures of an epoch; "
            "give less to --batch or --accumulate"
        )
    where.check_batch(batch)
    return batch


def _settings(
    card: ModelCard, schedule: Schedule, auxiliary: Sequence[str], teacher: Teacher | None, data: Pictures
) -> dict[str, str]:
    """What a training depends on, by the names of the options."""
    return {
        "architecture": " ".join([card.architecture, *(f"{key}={value}" for key, value in sorted(card.arguments.items()))]),
        "classes": ", ".join([*card.classes, *auxiliary]),
        "teacher": f"{teacher.weights_sha256[:12]} {teacher.how}".replace(",", "") if teacher else "none",
        "pictures": str(len(data)), "size": str(card.size), "loss": card.loss, "shares": str(sorted(data.shares.items())),
        "epochs": str(schedule.epochs), "minutes": str(schedule.minutes), "seed": str(schedule.seed),
        "batch": f"{schedule.batch} x {schedule.accumulate}", "rate": str(schedule.learning_rate),
        "schedule": schedule.policy, "precision": schedule.precision, "framings": str(schedule.framings),
        "picture sizes": str(schedule.sizes),
    }  # fmt: skip


def _line(row: Row, left: float) -> str:
    scores = "".join(f"  {name} {value:.4f}" for name, value in row.scores.items())
    return f"epoch {row.epoch}  {row.seconds / 60:.1f} min, {left:.0f} left  loss {row.loss:.4f}{scores}"
