"""What a recipe will do to a network, found out before anything runs. A budget that cannot be met is refused here.

Steps that change the form of the network are tried for real, but on its weights alone where the recipe asks for what needs
pictures ("taylor"): so channels of each layer are an estimate then, and multiply-adds are within a block of channels of what
will come out.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgeseg.compress.prune import Unreachable
from edgeseg.errors import UsageError
from edgeseg.models.checkpoint import Model
from edgeseg.recipes.budget import Costs, exceeded, told
from edgeseg.recipes.estimate import Speed, costs
from edgeseg.recipes.recipe import Recipe
from edgeseg.recipes.shape import FORMS, LEAST, QUICK, Aim, form, smallest
from edgeseg.recipes.steps import NO_TEACHER, Prune, Qat, Step, Substitute, Training
from edgeseg.train.device import CPU, autocast, place

QAT_FACTOR = 2.5  # a step of training for int8 against one in float, on a processor
TRIAL = 8  # pictures of the step that is timed


@dataclass(frozen=True)
class Row:
    """A step, and what a network costs after it."""

    title: str
    costs: Costs
    minutes: float | None  # None where it cannot be said
    details: tuple[str, ...] = ()  # a line for every layer that changes
    kept: tuple[str, ...] = ()  # lines of layers that cannot change


@dataclass(frozen=True)
class Plan:
    """In the order of the recipe."""

    model: str
    recipe: str
    original: Costs  # at the model's own size
    own_size: tuple[int, int]
    size: tuple[int, int]
    precision: str
    rows: tuple[Row, ...]
    limits: dict[str, float]  # absolute
    floor: str
    notes: tuple[str, ...]
    speed: Speed | None  # with which latencies were estimated

    @property
    def minutes(self) -> float | None:
        """Of all training; None where it cannot be said."""
        known = [row.minutes for row in self.rows]
        return None if any(m is None for m in known) else sum(m for m in known if m is not None)

    def text(self, verbose: bool = False) -> str:
        """For a terminal; `verbose` has a line for every layer that changes."""
        height, width = self.size
        lines = [f"{self.model} by {self.recipe}, at {height}x{width}"]
        if self.size != self.own_size:
            lines[0] += f" (it was trained for {self.own_size[0]}x{self.own_size[1]}, at which the original is counted)"
        latency = self.original.latency_ms is not None
        wide = max(len(row.title) for row in self.rows) + 4
        lines.append(f"{'step':{wide}} {'MMAC':>16} {'k params':>16} {'kB':>7} {'ms' if latency else '':>7} minutes")
        lines.append(f"{'   original':{wide}} {_costs(None, self.original)}")
        before = self.original
        for i, row in enumerate(self.rows, 1):
            minutes = "" if not row.minutes and row.minutes is not None else _minutes(row.minutes)
            lines.append(f"{f'{i}. {row.title}':{wide}} {_costs(before, row.costs)} {minutes:>7}")
            if verbose:
                lines += [f"     {detail}" for detail in row.details]
            lines += [f"     {kept}" for kept in row.kept]
            before = row.costs
        for name, limit in self.limits.items():
            value = getattr(before, name)
            lines.append(f"budget: {name} <= {told(name, limit)}; the plan comes to {told(name, value)}")
        if self.floor:
            lines.append(f"floor: {self.floor}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def to_json(self) -> dict[str, Any]:
        """The document of `edgeseg compress --dry-run --json`."""
        return dataclasses.asdict(self)


def make_plan(
    recipe: Recipe,
    model: Model,
    name: str,
    size: tuple[int, int],
    *,
    pictures: int | None = None,
    minutes: float | None = None,
    speed: Speed | None = None,
) -> Plan:
    """What `recipe` will make of `model`, called `name`, for an input of `size` (height, width).

    pictures  that training has in an epoch; minutes  that all training may take
    speed     of the device that the budget speaks of

    UsageError for a budget that cannot be met, naming the least that can.
    """

    def cost_of(network: nn.Module) -> Costs:
        return costs(network, size, recipe.precision, speed)

    model.network.check_size(size)
    original = costs(model.network, model.card.size, "float32", speed)
    limits = recipe.budget.absolute(original)
    network, card, rows = model.network, dataclasses.replace(model.card, size=size, framings=()), list[Row]()
    shares = share_out(recipe.steps, minutes)
    for i, step in enumerate(recipe.steps):
        details: tuple[str, ...] = ()
        kept: tuple[str, ...] = ()
        if type(step) in FORMS:
            try:
                formed = form(step, network, card, Aim(cost_of, limits, open_steps(recipe.steps[i:])))
            except Unreachable as error:
                raise UsageError(_impossible(recipe, model, size, limits, speed) or f"step {i + 1}: {error}") from None
            network, card, details, kept = formed.network, formed.card, formed.details, formed.kept
        rows.append(Row(step.title, cost_of(network), _time(step, network, size, pictures, shares[i]), details, kept))
    over = exceeded(limits, rows[-1].costs)
    if over:
        raise UsageError(
            _impossible(recipe, model, size, limits, speed)
            or f"the budget is {over[0]}; prune further, or leave macs out of a prune step, which then goes as far as it must"
        )
    timed = minutes is None and any(step.trains for step in recipe.steps) and pictures is not None
    notes = _notes(recipe, speed, timed)
    return Plan(
        name,
        recipe.name,
        original,
        model.card.size,
        size,
        recipe.precision,
        tuple(rows),
        limits,
        str(recipe.floor),
        notes,
        speed,
    )


def open_steps(steps: Sequence[Step]) -> int:
    """How many of `steps` go as far as the budget needs."""
    return sum(step.saves and goal_of(step) is None for step in steps)


def goal_of(step: Step) -> float | None:
    """MACs that a step is to leave; None where that is what the budget needs."""
    if isinstance(step, Substitute) and step.layers and step.macs is None:
        return LEAST
    macs: float | None = step.macs  # type: ignore[attr-defined]
    return macs


def share_out(steps: Sequence[Step], minutes: float | None) -> list[float | None]:
    """Minutes of each step, where there is a time for all; 0 for those that do not train."""
    shares = [step.share if isinstance(step, Training) else 0.0 for step in steps]
    if minutes is None:
        return [None if share else 0.0 for share in shares]
    return [minutes * share / (sum(shares) or 1.0) for share in shares]


def _impossible(
    recipe: Recipe, model: Model, size: tuple[int, int], limits: dict[str, float], speed: Speed | None
) -> str | None:
    """The sentence that says so; None where the budget can be met, if only the steps went as far as they can."""
    network, card = model.network, dataclasses.replace(model.card, size=size, framings=())
    for step in recipe.steps:
        if type(step) in FORMS:
            formed = smallest(step, network, card)
            network, card = formed.network, formed.card
    least = costs(network, size, recipe.precision, speed)
    over = [name for name, limit in limits.items() if (value := getattr(least, name)) is not None and value > limit]
    if not over:
        return None
    name = over[0]
    return (
        f"the budget {name} <= {told(name, limits[name])} cannot be met: with every layer at its least these steps come to "
        f"{told(name, getattr(least, name))}; raise it, lower the prune step's floor or round_to, or protect fewer layers"
    )


def _time(step: Step, network: nn.Module, size: tuple[int, int], pictures: int | None, minutes: float | None) -> float | None:
    """Minutes that a step will take, at most."""
    if minutes is not None or not isinstance(step, Training):
        return minutes
    if pictures is None:
        return None
    passes = 1.0 if step.teacher == NO_TEACHER else 4 / 3  # a forward pass of the teacher is a third of a step
    factor = QAT_FACTOR if isinstance(step, Qat) else 1.0
    return seconds_per_picture(network, size) * passes * factor * pictures * step.epochs / 60


def seconds_per_picture(network: nn.Module, size: tuple[int, int]) -> float:
    """Of a training step on this machine, as it is now; one step is timed."""
    image = torch.rand(TRIAL, 3, *size).contiguous(memory_format=torch.channels_last)
    network = place(copy.deepcopy(network), CPU).train()
    weights = [p for p in network.parameters() if p.requires_grad]
    took = 0.0
    for _ in range(2):  # the first one is a warm-up
        started = time.monotonic()
        with autocast(CPU, "bf16"):
            loss = network(image).float().mean()
        torch.autograd.grad(loss, weights, allow_unused=True)
        took = time.monotonic() - started
    return took / TRIAL


def _notes(recipe: Recipe, speed: Speed | None, timed: bool) -> tuple[str, ...]:
    notes = [f"kB is an estimate of the {recipe.precision} file; of the original, in float32"]
    if any(isinstance(step, Prune) and step.importance == "taylor" for step in recipe.steps):
        notes.append(f"channels and parameters after pruning are estimates: {QUICK} stands for taylor, which needs pictures")
    if any(isinstance(step, Substitute) for step in recipe.steps):
        notes.append("which layers get other forms is an estimate from their weights; pictures will decide")
    if speed:
        notes.append(f"ms is an estimate: {speed}")
    if timed:
        notes.append("minutes are an estimate from one training step on this machine, as busy as it is now")
    return tuple(notes)


def _costs(before: Costs | None, after: Costs) -> str:
    def change(name: str, scale: float, digits: int) -> str:
        value = f"{getattr(after, name) / scale:.{digits}f}"
        return value if before is None else f"{getattr(before, name) / scale:.{digits}f} -> {value}"

    ms = "" if after.latency_ms is None else f"{after.latency_ms:.2f}"
    return f"{change('macs', 1e6, 1):>16} {change('params', 1e3, 0):>16} {after.size_bytes / 1e3:7.0f} {ms:>7}"


def _minutes(minutes: float | None) -> str:
    return "?" if minutes is None else f"{minutes:.1f}"
