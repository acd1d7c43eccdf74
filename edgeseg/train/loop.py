"""The training loop: bf16, channels-last, averaged weights, growing pictures, and nothing lost when it is killed.

On two cores with bf16 arithmetic the shipped person network trains on 41 pictures/s of 256x256, against 27 in float32, and
on 117 of 128x128: so pictures are small first and full-sized last (Howard 2018, "progressive resizing").
"""

from __future__ import annotations

import csv
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from edgeseg.errors import ModelError
from edgeseg.models.checkpoint import ModelCard, load_model, save_checkpoint
from edgeseg.models.distil import Teacher
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.spec import nearest_framing
from edgeseg.train.data import Frame
from edgeseg.train.depthwise import quicken
from edgeseg.train.metrics import IGNORE, mean
from edgeseg.train.samples import Augmentation, Pictures, Sample, Size, to_tensors
from edgeseg.train.task import Task, cut, enlarge, paste
from edgeseg.train.truth import ClassIds
from edgeseg.whole import make_folder, write_whole, written_whole

Confusion = npt.NDArray[np.int64]  # [truth, prediction]


@dataclass(frozen=True)
class Schedule:
    """How a network is trained. The defaults are for a small network from scratch on a few thousand pictures."""

    epochs: int = 60
    minutes: float | None = None  # the schedule shrinks to end by then, whatever the machine's speed
    batch: int = 32
    learning_rate: float = 4e-3  # AdamW at batch 32; peak, after the warm-up and before the cosine
    weight_decay: float = 1e-4  # not on biases and batch norm
    warmup: float = 0.02  # share of the schedule
    average: float = 0.998  # of the weights, per step (Polyak averaging)
    augmentation: Augmentation = field(default_factory=Augmentation)
    framings: tuple[Size, ...] = ()  # (height, width) of the batches in turn; that of the card if there are none
    sizes: tuple[tuple[float, float], ...] = ((0.0, 0.5), (0.3, 0.75), (0.7, 1.0))  # (from progress, share of the size)
    evaluate_every: int = 5  # epochs; after the last one in any case
    seed: int = 0


class Average:
    """Exponential moving average of a network's parameters. Batch-norm statistics are re-estimated, not averaged."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = {name: p.detach().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))  # a young average follows more closely
        for name, p in network.named_parameters():
            self.values[name].lerp_(p.detach(), 1 - decay)


def trainer_size(progress: float, size: tuple[int, int], schedule: Schedule, divisor: int) -> tuple[int, int]:
    """(height, width) to train at: a share of `size` that grows with progress, rounded to what the network takes."""
    share = max((s for s in schedule.sizes if s[0] <= progress), key=lambda s: s[0])[1]
    return tuple(max(divisor, round(v * share / divisor) * divisor) for v in size)  # type: ignore[return-value]


def learning_rate(progress: float, schedule: Schedule) -> float:
    """Linear warm-up, then a cosine to nearly nothing."""
    if progress < schedule.warmup:
        return schedule.learning_rate * (progress + 1e-3) / (schedule.warmup + 1e-3)
    return schedule.learning_rate * (0.005 + 0.995 * (1 + math.cos(math.pi * min(1.0, progress))) / 2)


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
    resume: bool = False,
    tell: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train what `card` describes; gives the validation scores, by source ("iou/<source>", "iou" over all; "miou" and
    "iou/<class>" of a network of several classes).

    auxiliary  classes that the ids of `samples` speak of, where they are not the network's own
    initial    a model to begin from
    teacher    whose answers to the same batches are learned beside the truth

    out/last.safetensors   the averaged network after the newest epoch, a checkpoint like any other
    out/state.pt           all that `resume` needs
    out/log.csv            a row an epoch: epoch, seconds, loss, learning rate, validation IoU
    """
    torch.manual_seed(schedule.seed)
    cv2.setNumThreads(1)
    task = Task(card.classes, auxiliary, card.loss, card.class_weights)
    network = task.build(card).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if initial:
        paste(load_model(initial).network.state_dict(), network)
    quicken(network)
    average = Average(network, schedule.average)
    optimizer = torch.optim.AdamW(_groups(network, schedule.weight_decay), lr=schedule.learning_rate)
    first, elapsed = 0, 0.0
    if resume:
        first, elapsed = _restore(out, network, average, optimizer, teacher)
        tell(f"resuming after epoch {first}")
    _prepare(out, fresh=first == 0)

    data = Pictures(samples, backgrounds, schedule.augmentation, schedule.seed)
    framings = schedule.framings or (card.size,)
    started = time.monotonic() - elapsed
    per_epoch = math.ceil(len(samples) / schedule.batch)
    scores: dict[str, float] = {}
    progress = 0.0
    for epoch in range(first, schedule.epochs):
        network.train()
        losses: list[float] = []
        data.epoch = epoch
        sizes = [trainer_size(progress, size, schedule, network.size_divisor) for size in framings]
        for step, (image, truth) in enumerate(data.batches(sizes, schedule.batch)):
            progress = _progress(epoch + step / per_epoch, time.monotonic() - started, schedule)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(progress, schedule)
            image = image.to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(image)
            logits = logits.float()
            loss = task.loss(logits, truth)
            if teacher:
                loss = loss + teacher.loss(image, logits[:, : card.channels])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            average.update(network)
            losses.append(loss.item())
        progress = _progress(epoch + 1, time.monotonic() - started, schedule)
        last = progress >= 1
        if last or (epoch + 1) % schedule.evaluate_every == 0:
            averaged = averaged_network(card, task, average, network, data, schedule)
            scores = validate(averaged, validation, card)
            save_checkpoint(out / "last.safetensors", averaged, dataclasses.replace(card, accuracy=_rounded(scores)))
        seconds = time.monotonic() - started
        _save_state(out, network, average, optimizer, teacher, epoch + 1, seconds)
        row = [epoch + 1, round(seconds), f"{np.mean(losses):.4f}", f"{learning_rate(progress, schedule):.2e}"]
        with (out / "log.csv").open("a", newline="") as file:
            csv.writer(file).writerow([*row, f"{next(iter(scores.values()), math.nan):.4f}"])
        by_source = "  ".join(f"{k} {v:.4f}" for k, v in scores.items())
        left = seconds / max(progress, 1e-6) * (1 - progress) / 60
        tell(f"epoch {epoch + 1}  {seconds / 60:.1f} min, {left:.0f} left  loss {np.mean(losses):.4f}  {by_source}")
        if last:
            break
    return scores


def averaged_network(
    card: ModelCard, task: Task, average: Average, network: nn.Module, data: Pictures, schedule: Schedule
) -> SegmentationNetwork:
    """A network with the averaged weights, without auxiliary classes, and with batch-norm statistics estimated anew over
    24 batches of every framing in turn.
    """
    averaged = card.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged.load_state_dict(cut(network.state_dict() | average.values, averaged))
    for module in averaged.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over the batches
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0  # dropout changes the variance that batch norm sees
    averaged.train()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for step, (image, _) in enumerate(data.batches(schedule.framings or (card.size,), schedule.batch)):
            if step == 24:
                break
            averaged(image.to(memory_format=torch.channels_last))
    result: SegmentationNetwork = averaged.eval()
    return result


@dataclass(frozen=True)
class Held:
    """A picture that is held back, with its truth as class ids of the network (h, w), 255 where unknown."""

    frame: Frame
    truth: ClassIds
    source: str


@torch.no_grad()
def validate(network: Callable[[Tensor], Tensor], held: Sequence[Held], card: ModelCard) -> dict[str, float]:
    """IoU over all pixels; pictures are stretched to the size of the card that is nearest to their shape.

    Two classes: the IoU of the second, over all pictures and of each source. More: their mean, and of each class.
    """
    n = len(card.classes)
    counts: dict[str, Confusion] = {}
    for item in held:
        size = nearest_framing((card.size, *card.framings), item.truth.shape)
        small = np.asarray(cv2.resize(item.frame, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        logits = enlarge(network(to_tensors(small, None)[0][None]), item.truth.shape)[0]
        ids = ((logits[0] > 0) if n == 2 else logits.argmax(0)).numpy().astype(np.int64)
        known = item.truth != IGNORE
        confusion = np.bincount(item.truth[known] * np.int64(n) + ids[known], minlength=n * n).reshape(n, n)
        for key in ("iou", f"iou/{item.source}"):
            counts[key] = counts.get(key, np.zeros((n, n), np.int64)) + confusion
    if n == 2:
        of_person = {key: iou(confusion)[1] for key, confusion in counts.items()}
        return {key: value for key, value in of_person.items() if value is not None}
    by_class = iou(counts["iou"])
    scores = {"miou": mean(by_class)} | {f"iou/{name}": value for name, value in zip(card.classes, by_class, strict=True)}
    return {key: value for key, value in scores.items() if value is not None}


def iou(confusion: Confusion) -> list[float | None]:
    """Of every class, from a matrix [truth, prediction]; None for a class that neither has."""
    hit, union = confusion.diagonal(), confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    return [float(h / u) if u else None for h, u in zip(hit, union, strict=True)]


def _progress(epochs: float, seconds: float, schedule: Schedule) -> float:
    by_time = seconds / 60 / schedule.minutes if schedule.minutes else 0.0
    return max(epochs / schedule.epochs, by_time)


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def _rounded(scores: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in scores.items()}


def _prepare(out: Path, fresh: bool) -> None:
    make_folder(out)
    if fresh:
        write_whole(out / "log.csv", b"epoch,seconds,loss,learning_rate,val_iou\n")


def _save_state(
    out: Path,
    network: nn.Module,
    average: Average,
    optimizer: torch.optim.Optimizer,
    teacher: Teacher | None,
    epoch: int,
    seconds: float,
) -> None:
    state = {
        "epoch": epoch, "seconds": seconds, "network": network.state_dict(), "optimizer": optimizer.state_dict(),
        "average": average.values, "steps": average.steps, "teacher": _told_apart(teacher),
    }  # fmt: skip
    with written_whole(out / "state.pt") as part:
        torch.save(state, part)


def _restore(
    out: Path, network: nn.Module, average: Average, optimizer: torch.optim.Optimizer, teacher: Teacher | None
) -> tuple[int, float]:
    path = out / "state.pt"
    if not path.is_file():
        raise ModelError(f"nothing to resume: {path} does not exist; leave out --resume to begin")
    try:
        state = torch.load(path, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, KeyError, ValueError) as error:
        raise ModelError(f"{path} is not a state of this training ({str(error).splitlines()[0]})") from None
    if state.get("teacher", "") != _told_apart(teacher):
        raise ModelError(f"{path} belongs to a training with another teacher, or with none; give --teacher as at its beginning")
    average.values, average.steps = state["average"], state["steps"]
    return int(state["epoch"]), float(state["seconds"])


def _told_apart(teacher: Teacher | None) -> str:
    return f"{teacher.weights_sha256} {teacher.weight} {teacher.temperature}" if teacher else ""
