"""Quantisation-aware training: a trained network is trained a little more, with int8 arithmetic imitated in float.

It begins from the network in the form in which it is exported: batch norms folded, transposed convolutions rewritten, and
fake quantisation at exactly the places where `edgeseg.compress.quantize` has ranges. Training with batch norms kept, as is
often done, takes three forms of them (Jacob et al. 2018, section 3.2; Krishnamoorthi 2018, arXiv 1806.08342): their
statistics must be corrected while they move, then be frozen, then be folded, and what is exported is another graph again.
Folded from the start there is one graph, which at step 0 is the post-training quantised network, and at the end the file.

Scales are measured on pictures, learn in the first part of the training (Esser et al. 2020) and rest in the last, so that the
weights can settle in a grid that does not move. Zero points stay. The result is the moving average of weights and scales.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from edgeseg.compress.fake_quantised import FakeQuantised, Place
from edgeseg.errors import ModelError
from edgeseg.models.checkpoint import ModelCard, save_checkpoint
from edgeseg.models.distil import distillation
from edgeseg.whole import make_folder, write_whole

Batches = Callable[[int], Iterable[tuple[Tensor, Any]]]  # epoch -> (image (n, 3, h, w) RGB in 0..1, truth)
Loss = Callable[[Tensor, Any], Tensor]  # logits (n, c, h', w') as the network gives them, truth -> scalar
Network = Callable[[Tensor], Tensor]  # image -> logits
Validate = Callable[[Network], dict[str, float]]  # scores, the most important first


@dataclass(frozen=True)
class Plan:
    """How a network is trained for int8. The defaults are for one that is fully trained."""

    epochs: int = 10
    minutes: float | None = None  # the schedule shrinks to end by then, whatever the machine's speed
    learning_rate: float = 0.02  # of the weights, in steps of the int8 grid; Adam, cosine
    scale_rate: float = 1e-3  # of the logarithm of the scales
    freeze: float = 0.5  # progress from which the scales rest
    warmup: float = 0.05  # share of the schedule
    average: float = 0.99  # of weights and scales, per step
    distil: float = 10.0  # weight of the distillation beside the task's loss; 0 for none
    temperature: float = 2.0


def fine_tune(
    student: FakeQuantised,
    teacher: Network | None,
    card: ModelCard,
    batches: Batches,
    per_epoch: int,
    loss: Loss,
    validate: Validate,
    out: Path,
    plan: Plan,
    *,
    resume: bool = False,
    tell: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train `student`; gives the last scores. Repeats itself where `batches` does.

    teacher    in float, gives the logits to be imitated; None for the truth alone
    card       of the checkpoint, apart from scores and ranges
    per_epoch  how many batches an epoch has
    validate   judges the averaged network, fake-quantised

    out/last.safetensors   after every epoch: averaged weights, as the network's own, with the int8 ranges in the card
    out/state.pt           all that `resume` needs to go on to the same result
    out/log.csv            a row an epoch: epoch, seconds, loss, learning rate, validation score
    """
    optimizer = torch.optim.Adam(
        [
            {"params": [student.moved], "rate": plan.learning_rate},
            {"params": student.log_scales, "rate": plan.scale_rate},
        ],
        eps=1e-15,  # gradients by steps of the grid are small numbers
    )
    average = Average(student, plan.average)
    first, elapsed = _restore(out / "state.pt", student, average, optimizer) if resume else (0, 0.0)
    if resume:
        tell(f"resuming after epoch {first}")
    make_folder(out)
    if not first:
        with torch.no_grad():
            tell(f"before training  {_told(validate(student))}")  # what post-training quantisation gives
        write_whole(out / "log.csv", b"epoch,seconds,loss,learning_rate,val_iou\n")
    started = time.monotonic() - elapsed
    scores: dict[str, float] = {}
    for epoch in range(first, plan.epochs):
        total, steps = 0.0, 0
        for image, truth in batches(epoch):
            progress = _progress(epoch + steps / per_epoch, time.monotonic() - started, plan)
            if progress >= 1:  # out of time in the middle of an epoch
                break
            weights, scales = optimizer.param_groups
            for group in (weights, scales):
                group["lr"] = group["rate"] * _share(progress, plan)
            student.let_scales_learn(progress < plan.freeze)
            logits = student(image)
            cost = loss(logits, truth)
            if teacher is not None and plan.distil:
                with torch.no_grad():
                    wanted = teacher(image)
                cost = cost + plan.distil * distillation(logits, wanted, plan.temperature)
            optimizer.zero_grad()
            cost.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            student.limit()
            average.update(student)
            total, steps = total + cost.item(), steps + 1
        if not math.isfinite(total):
            raise ModelError(f"the loss is {total} in epoch {epoch + 1}; give a lower --rate, and --resume goes on before it")
        progress = _progress(epoch + 1, time.monotonic() - started, plan)
        with average.held_by(student):
            scores = validate(student)
            rounded = {key: round(value, 4) for key, value in scores.items()}
            result = dataclasses.replace(card, accuracy=rounded, ranges=student.ranges())
            save_checkpoint(out / "last.safetensors", student.network(), result)
        seconds = time.monotonic() - started
        _save(out / "state.pt", student, average, optimizer, epoch + 1, seconds)
        mean, score = total / max(steps, 1), next(iter(scores.values()), math.nan)
        with (out / "log.csv").open("a", newline="") as file:
            rate = optimizer.param_groups[0]["lr"]
            csv.writer(file).writerow([epoch + 1, round(seconds), f"{mean:.4f}", f"{rate:.2e}", f"{score:.4f}"])
        left = seconds / max(progress, 1e-6) * (1 - progress) / 60
        tell(f"epoch {epoch + 1}  {seconds / 60:.1f} min, {left:.0f} left  loss {mean:.4f}  {_told(scores)}")
        if progress >= 1:
            break
    return scores


class Average:
    """Moving average of what a `FakeQuantised` learns."""

    def __init__(self, student: FakeQuantised, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = [p.detach().clone() for p in student.parameters()]

    @torch.no_grad()
    def update(self, student: FakeQuantised) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))  # a young average follows more closely
        for value, p in zip(self.values, student.parameters(), strict=True):
            value.lerp_(p.detach(), 1 - decay)

    @contextmanager
    def held_by(self, student: FakeQuantised) -> Iterator[None]:
        """Inside, `student` has the averaged values, and no gradients."""
        with torch.no_grad():
            own = [p.clone() for p in student.parameters()]
            for p, value in zip(student.parameters(), self.values, strict=True):
                p.copy_(value)
            try:
                yield
            finally:
                for p, value in zip(student.parameters(), own, strict=True):
                    p.copy_(value)


def _told(scores: dict[str, float]) -> str:
    return "  ".join(f"{key} {value:.4f}" for key, value in scores.items())


def _share(progress: float, plan: Plan) -> float:
    """Of the peak learning rate: a linear warm-up, then a cosine to nearly nothing."""
    if progress < plan.warmup:
        return (progress + 1e-3) / (plan.warmup + 1e-3)
    return 0.005 + 0.995 * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def _progress(epochs: float, seconds: float, plan: Plan) -> float:
    return max(epochs / plan.epochs, seconds / 60 / plan.minutes if plan.minutes else 0.0)


def saved_places(out: Path) -> dict[str, Place]:
    """What calibration found when the training in `out` began. ModelError where there is none, or it is another training."""
    return {name: Place(*place) for name, place in _load(out / "state.pt")["places"].items()}


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"nothing to resume: {path} does not exist; leave out --resume to begin")
    try:
        state = torch.load(path, weights_only=True)
    except (RuntimeError, ValueError, EOFError, OSError, UnpicklingError) as error:
        raise ModelError(f"{path} cannot be read ({str(error).splitlines()[0]}); leave out --resume to begin") from None
    if not isinstance(state, dict) or "places" not in state:
        raise ModelError(f"{path} is not a state of quantisation-aware training; leave out --qat or --resume")
    return state


def _save(
    path: Path, student: FakeQuantised, average: Average, optimizer: torch.optim.Optimizer, epoch: int, seconds: float
) -> None:
    state = {
        "epoch": epoch, "seconds": seconds, "origin": student.origin, "steps": average.steps,
        "places": {name: [*dataclasses.astuple(place)] for name, place in student.places.items()},
        "values": [p.detach() for p in student.parameters()], "average": average.values, "optimizer": optimizer.state_dict(),
    }  # fmt: skip
    held = io.BytesIO()  # torch would say of a full disk that its writer failed, and not why
    torch.save(state, held)
    write_whole(path, held.getvalue())


def _restore(path: Path, student: FakeQuantised, average: Average, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    state = _load(path)
    if state["origin"] != student.origin:
        raise ModelError(f"{path} belongs to a training that began from other weights; give the same model, or another --out")
    optimizer.load_state_dict(state["optimizer"])
    with torch.no_grad():
        for p, value in zip(student.parameters(), state["values"], strict=True):
            p.copy_(value)
    average.values, average.steps = state["average"], state["steps"]
    return int(state["epoch"]), float(state["seconds"])
