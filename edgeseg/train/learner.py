"""A network that learns: its optimizer, its averaged weights, and one step."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeseg.errors import UsageError
from edgeseg.models.checkpoint import ModelCard
from edgeseg.models.distil import Teacher
from edgeseg.train.average import Average
from edgeseg.train.device import autocast, place
from edgeseg.train.distributed import Processes
from edgeseg.train.schedule import Schedule
from edgeseg.train.task import State, Target, Task, begin


class Learner:
    """The network of `card` with the auxiliary channels of `task`, in any number of processes.

    initial  a model to begin from; fresh weights without one
    teacher  whose answers to the same pictures are learned beside the truth
    """

    def __init__(
        self,
        card: ModelCard,
        task: Task,
        schedule: Schedule,
        where: Processes,
        initial: str | Path | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        self.card, self.task, self.where, self.teacher = card, task, where, teacher
        self.precision = schedule.precision
        network = task.build(card)
        if initial:
            begin(network, initial)
        self.divisor = network.size_divisor
        self.network = where.synchronised(place(network, where.device))
        self.hints = None
        if teacher:
            teacher.network.to(where.device)
            self.hints = teacher.hints(self.network)
        if self.hints and where.count > 1:
            raise UsageError("features are distilled in one process; start it without torchrun, or leave --distil-features out")
        self.average = Average(self.network, schedule.average)
        self._learned = nn.ModuleList([self.network])
        if self.hints:
            self._learned.append(self.hints.__enter__())  # open for as long as there is something to learn
        self.optimizer = torch.optim.AdamW(_groups(self._learned, schedule.weight_decay), lr=schedule.learning_rate)
        self._together = where.together(self.network)

    def step(self, batches: Iterable[tuple[Tensor, Target]], count: int, rate: float) -> Tensor:
        """Learn from `count` batches as from one; gives their mean loss, of this process, as a scalar tensor.

        As a single batch of that many pictures would be learned from, but for batch norm, which sees each alone, and for
        losses that are no mean over the pictures.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        total = torch.zeros((), device=self.where.device)
        for i, (image, truth) in enumerate(batches, 1):
            with nullcontext() if i == count else self.where.apart(self._together):
                loss = self.loss(image, truth) / count
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        nn.utils.clip_grad_norm_(self._learned.parameters(), 5.0)
        self.optimizer.step()
        self.average.update(self.network)
        return total

    def loss(self, image: Tensor, truth: Target) -> Tensor:
        """Of a batch, as it comes from `Pictures`."""
        device = self.where.device
        image, truth = image.to(device, memory_format=torch.channels_last), truth.to(device)
        with autocast(device, self.precision):
            logits = self._together(image)
        logits = logits.float()
        loss = self.task.loss(logits, truth)
        if self.teacher:
            loss = loss + self.teacher.loss(image, logits[:, : self.card.channels])
            if self.hints:
                loss = loss + self.teacher.features * self.hints.loss()
        return loss

    @property
    def averaged(self) -> State:
        """Averaged weights, with the batch-norm statistics of the newest step."""
        return self.network.state_dict() | self.average.values

    def state(self) -> dict[str, Any]:
        """All that `load` needs."""
        return {
            "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(),
            "average": self.average.values, "steps": self.average.steps,
            "hints": self.hints.state_dict() if self.hints else {},
        }  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        """RuntimeError, ValueError or KeyError for the state of another network."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, value in self.average.values.items():
            value.copy_(state["average"][name])
        self.average.steps = int(state["steps"])
        if self.hints:
            self.hints.load_state_dict(state["hints"])


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
