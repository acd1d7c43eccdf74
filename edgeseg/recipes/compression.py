"""What is to be compressed, and how: checked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeseg.errors import UsageError
from edgeseg.models import MODELS
from edgeseg.models.checkpoint import Model, load_model
from edgeseg.recipes.estimate import Speed, device_speed
from edgeseg.recipes.plan import Plan, make_plan
from edgeseg.recipes.recipe import Recipe
from edgeseg.recipes.steps import Export
from edgeseg.report.cost import count
from edgeseg.train.data import pictures_in
from edgeseg.train.material import Folders

Size = tuple[int, int]


@dataclass(frozen=True)
class Compression:
    """What is to be compressed, how, and with what. UsageError where parts do not fit each other.

    name      of the model, as the user gave it
    size      (height, width) of the result's input; that of the model if not given
    framings  other sizes of the result's input
    minutes   that all training steps may take together; without it, they have the lengths in epochs of the recipe
    shares    how often the pictures of a source are drawn in an epoch, where it is not once
    """

    model: Model
    name: str
    recipe: Recipe
    folders: Folders
    out: Path
    size: Size
    framings: tuple[Size, ...] = ()
    seed: int = 0
    minutes: float | None = None
    command: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)


def open_compression(
    name: str,
    recipe: Recipe,
    folders: Folders,
    out: Path,
    *,
    size: Size | None = None,
    framings: tuple[Size, ...] = (),
    seed: int = 0,
    minutes: float | None = None,
    command: str = "",
    shares: Mapping[str, float] | None = None,
) -> Compression:
    """Of a trained model's name or a checkpoint. ModelError, ShapeError, UsageError where it cannot be compressed."""
    model = load_model(name)
    if name in MODELS:
        raise UsageError(f"{name} has fresh weights, and nothing to keep; train it first, or give a trained model")
    if model.card.ranges:
        raise UsageError(f"{name} is trained for int8 already; give the float model that it was made of")
    size = size or model.card.size
    framings = tuple(f for f in framings or (() if size != model.card.size else model.card.framings) if f != size)
    for each in (size, *framings):
        model.network.check_size(each)
    return Compression(model, name, recipe, folders, out, size, framings, seed, minutes, command, shares or {})


def plan(task: Compression) -> Plan:
    """What will be done. UsageError for a budget that cannot be met."""
    pictures = count_pictures(task.folders.data) or None
    speed = speed_of(task)
    return make_plan(task.recipe, task.model, task.name, task.size, pictures=pictures, minutes=task.minutes, speed=speed)


def speed_of(task: Compression) -> Speed | None:
    """Of the device that the budget names, if one speaks of latency."""
    if "latency_ms" not in task.recipe.budget.limits:
        return None
    exports = [step for step in task.recipe.steps if isinstance(step, Export)]
    formats = {form for step in exports for form in step.formats} or {"tflite", "onnx"}
    card, macs = task.model.card, count(task.model.network, task.model.card.size).macs
    return device_speed(task.recipe.budget.device, task.name, card, macs, task.recipe.precision, formats)


def count_pictures(folders: Sequence[Path]) -> int:
    """In data folders, without reading them; 0 where there are none."""
    return sum(len(pictures_in(folder / "images")) for folder in folders if (folder / "images").is_dir())


def settings_of(task: Compression) -> dict[str, str]:
    """What a resumption must have in common with the beginning."""
    folders = task.folders
    return {
        "model": task.model.weights_sha256[:16],
        "size": "x".join(map(str, task.size)),
        "framings": ", ".join(f"{h}x{w}" for h, w in task.framings),
        "seed": str(task.seed),
        "data": ", ".join(path.name for path in (*folders.data, *folders.validation, *folders.auxiliary)),
        "backgrounds": folders.backgrounds.name if folders.backgrounds else "none",
        **({"shares": str(sorted(task.shares.items()))} if task.shares else {}),
    }
