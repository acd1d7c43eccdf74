"""`edgeseg compress`: a recipe carried out, each step of it kept and judged.

    out/original.safetensors          the model that it began with, and the teacher
    out/step-1-prune.safetensors ...  a checkpoint after every step, like any other
    out/step-2-finetune/              what a training step keeps while it runs: its own state and log
    out/state.json                    how far it has come
    out/compressed.safetensors        the result, and beside it the files that were exported
    out/report.json, report.md        what came of it

Killed at any moment it goes on from there, and with a length in epochs to the same weights.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn

from edgeseg.errors import DataError, ExportError, ModelError, UsageError
from edgeseg.models.checkpoint import Model, ModelCard, save_checkpoint
from edgeseg.recipes.budget import THIS_MACHINE, Costs, exceeded
from edgeseg.recipes.compression import Compression, settings_of
from edgeseg.recipes.estimate import Speed, costs
from edgeseg.recipes.job import Job
from edgeseg.recipes.judge import judge
from edgeseg.recipes.outcome import Outcome, choose
from edgeseg.recipes.plan import Plan, open_steps, share_out
from edgeseg.recipes.shape import Aim
from edgeseg.recipes.state import STATE, Row, State, keys_of, load_state, open_row
from edgeseg.recipes.steps import Export
from edgeseg.recipes.work import WORK, check_classes
from edgeseg.report.bench import Options, run_bench
from edgeseg.report.cost import count
from edgeseg.train.material import Folders, Material, read_material
from edgeseg.train.shares import factors
from edgeseg.whole import make_folder

Tell = Callable[[str], None]
Show = Callable[[str, float], None]
NO_DATA = "compressing needs pictures to learn from and to be judged by; name a folder with --data DIR"
ORIGINAL_FILE, RESULT_FILE = "original.safetensors", "compressed.safetensors"


def compress(
    task: Compression,
    plan: Plan,
    *,
    resume: bool = False,
    tell: Tell = print,
    show: Show = lambda what, share: None,
    material: Material | None = None,
) -> Outcome:
    """Carry out what was planned.

    resume    go on in the folder where a run was interrupted, or begin where there is none
    show      gets after each step of a training what is being done, and the share of that training
    material  what `read` gives for the folders of `task`, where that has been done already

    UsageError, before anything is written, for a folder with another compression in it.
    """
    if not task.folders.data:
        raise UsageError(NO_DATA)
    settings = settings_of(task)
    state = load_state(task.out, settings) if resume else None
    if state is None:
        if not resume and (task.out / STATE).exists():
            raise UsageError(f"{task.out} holds a compression already; --resume goes on with it, or give another -o")
        if resume:
            tell(f"nothing to resume in {task.out}: beginning")
        state = State(settings, plan.speed.macs_per_ms if plan.speed else 0.0)
    make_folder(task.out)
    sweep(task.out)
    torch.manual_seed(task.seed)
    cv2.setNumThreads(1)
    material = material or read(task.folders, (task.size, *task.framings, task.model.card.size))
    check_classes(task.name, task.model.card, material)
    factors([sample.origins for sample in material.samples], task.shares)  # a share of what is not there is refused now
    run = _Run(task, plan, state, material, tell, show)
    keys = keys_of(settings, task.recipe.steps, plan.limits)
    if done := state.keep(keys, task.out):
        tell(f"{done - 1} of {len(keys) - 1} steps are done")
    else:
        run.begin(keys[0])
    metric = task.recipe.floor.named(state.rows[0].scores)  # a floor of another metric is refused before any work
    tell(f"original  {metric} {state.rows[0].scores[metric]:.4f}")
    for i in range(len(state.rows) - 1, len(task.recipe.steps)):
        title = f"step {i + 1} of {len(task.recipe.steps)}, {task.recipe.steps[i].title}"
        left = sum(row.minutes or 0.0 for row in plan.rows[i:])
        tell(f"{title}: about {left:.1f} min of training left" if left else title)
        try:
            row = run.advance(i, keys[i + 1])
        except (ExportError, ModelError) as error:
            if i == 0:
                raise
            raise type(error)(
                f"{error}; {run.keep_best()} is the best result so far, and --resume tries this step again"
            ) from None
        tell(f"{title}  {row.costs.macs / 1e6:.1f} MMAC  {metric} {row.scores[metric]:.4f}")
    return run.conclude()


def read(folders: Folders, sizes: Sequence[tuple[int, int]]) -> Material:
    """All pictures, for networks of these input sizes. DataError, UsageError where there is nothing to learn or judge by."""
    if not folders.data:
        raise UsageError(NO_DATA)
    material = read_material(folders, round(max(max(size) for size in sizes) * 1.25))
    if not material.held:
        raise DataError("there are no pictures to judge by; name a folder that is held back with --validation DIR")
    return material


@dataclass(frozen=True)
class _Run:
    """A compression on its way; `state` grows."""

    task: Compression
    plan: Plan
    state: State
    material: Material
    tell: Tell
    show: Show

    def begin(self, key: str) -> None:
        """Keep the original as it is, judged at its own size."""
        model, out = self.task.model, self.task.out
        save_checkpoint(out / ORIGINAL_FILE, model.network, model.card)
        scores = judge(model, self.material.held)
        cost = self._costs(model, ORIGINAL_FILE)
        self.state.rows = [Row(key, "original", ORIGINAL_FILE, model.weights_sha256, cost, scores, 0.0)]
        self.state.save(out)

    def advance(self, i: int, key: str) -> Row:
        """Do step i, and keep its result and the state."""
        task, state, step = self.task, self.state, self.task.recipe.steps[i]
        folder = task.out / f"step-{i + 1}-{step.kind}"
        if state.running != key:  # what lies there is of another recipe
            shutil.rmtree(folder, ignore_errors=True)
            state.running = key
            state.save(task.out)
        started = time.monotonic()
        made = WORK[type(step)](step, self._job(i, folder))
        file = state.rows[-1].file
        if not isinstance(step, Export):
            file = f"{folder.name}.safetensors"
            save_checkpoint(task.out / file, made.network, dataclasses.replace(made.card, accuracy=made.scores))
        model = open_row(file, task.out)
        seconds = time.monotonic() - started
        row = Row(key, step.title, file, model.weights_sha256, self._costs(model, file), made.scores, seconds, made.files)
        state.rows.append(row)
        state.running = ""
        state.save(task.out)
        with suppress(OSError):
            (folder / "state.pt").unlink(missing_ok=True)  # it is several times the network, and not needed any more
        return row

    def keep_best(self) -> Path:
        """Write the result of what has been done; gives its path."""
        rows, path = self.state.rows, self.task.out / RESULT_FILE
        model = open_row(rows[choose(rows, self.plan.limits, self.task.recipe.floor)].file, self.task.out)
        save_checkpoint(path, model.network, model.card)
        return path

    def conclude(self) -> Outcome:
        """Choose the result, write it and the report."""
        task, limits, floor = self.task, self.plan.limits, self.task.recipe.floor
        rows = list(self.state.rows)
        chosen = choose(rows, limits, floor)
        model = open_row(rows[chosen].file, task.out)
        path = self.keep_best()
        files = rows[chosen].files
        found = costs(model.network, task.size, self._precision(chosen), self._speed)
        estimated = {"size_bytes", "latency_ms"}
        if files and task.recipe.budget.device == THIS_MACHINE:
            files = timed(files)
            rows[chosen] = dataclasses.replace(rows[chosen], files=files)
            found = dataclasses.replace(found, latency_ms=max(file["latency_ms"] for file in files))
            estimated.remove("latency_ms")
        if files:
            found = dataclasses.replace(found, size_bytes=max(file["size_bytes"] for file in files))
            estimated.remove("size_bytes")
        scores = rows[chosen].scores
        name, goal = floor.named(rows[0].scores), floor.goal(rows[0].scores)
        missed = exceeded(limits, found)
        if goal is not None and scores[name] < goal:
            missed.append(f"{name} >= {goal:.4f}, but it is {scores[name]:.4f}")
        outcome = Outcome(
            task.name, task.recipe.name, path, task.seed, task.size, tuple(rows), limits, floor, chosen,
            found, tuple(sorted(estimated)), tuple(missed),
        )  # fmt: skip
        outcome.write()
        return outcome

    def _job(self, i: int, folder: Path) -> Job:
        task, step, last = self.task, self.task.recipe.steps[i], self.state.rows[-1]
        before = open_row(last.file, task.out)
        card = dataclasses.replace(before.card, name=task.out.name, size=task.size, framings=task.framings)

        def cost_of(network: nn.Module) -> Costs:
            return costs(network, task.size, task.recipe.precision, self._speed)

        return Job(
            model=Model(before.network, card, before.weights_sha256),
            checkpoint=task.out / last.file,
            original=task.out / ORIGINAL_FILE,
            folder=folder,
            material=self.material,
            folders=task.folders,
            shares=task.shares,
            aim=Aim(cost_of, self.plan.limits, open_steps(task.recipe.steps[i:])),
            minutes=share_out(task.recipe.steps, task.minutes)[i],
            seed=task.seed + i,
            note=f"{task.command}: {step.title}",
            tell=self.tell,
            show=self.show,
        )

    @property
    def _speed(self) -> Speed | None:
        """As it was when the run began, so that a resumption comes to the same."""
        return Speed(self.state.macs_per_ms, self.plan.speed.source) if self.plan.speed else None

    def _precision(self, chosen: int) -> str:
        return self.task.recipe.precision if self.state.rows[chosen].files else self.task.recipe.trained_precision

    def _costs(self, model: Model, file: str) -> Costs:
        card: ModelCard = model.card
        counted = count(model.network, card.size)
        return Costs(counted.macs, counted.params, (self.task.out / file).stat().st_size)


def timed(files: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Exported files with their latency here. ModelError where one cannot be run."""
    report = run_bench([Path(file["path"]) for file in files], Options(min_seconds=1.0))
    bad = [row["error"] for row in report["results"] if "error" in row]
    if bad:
        raise ModelError(f"a file that was exported could not be measured: {bad[0]}")
    return tuple({**f, "latency_ms": row["latency_ms"]["median"]} for f, row in zip(files, report["results"], strict=True))


def sweep(folder: Path) -> None:
    """Remove what a killed process was writing when it was killed."""
    for place in (folder, *folder.glob("step-*")) if (folder / STATE).exists() else ():
        for part in place.glob(".*.part[0-9]*"):
            with suppress(OSError):
                part.unlink()
