"""What a search chooses from, and the recipe that a choice is."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Protocol

from edgeseg.compress.importance import Importance
from edgeseg.export.choices import Format, Precision
from edgeseg.models import MODELS
from edgeseg.recipes.recipe import Recipe
from edgeseg.recipes.steps import NO_TEACHER, Export, Finetune, LowRank, Prune, Separable, Step

IMPORTANCES: tuple[Importance, ...] = ("taylor", "l2", "bn", "fpgm")
ENERGIES = (0.95, 0.9, 0.8)
PRECISIONS: tuple[Precision, ...] = ("int8", "float32")
WIDTHS = (0.25, 0.35, 0.5, 0.75, 1.0)
FRESH_RATE = 4e-3  # the learning rate of a network that knows nothing yet


class Chooser(Protocol):
    """What is used of `optuna.Trial`."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None) -> float: ...

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


@dataclass(frozen=True)
class Choice:
    """A point of the space.

    width      of a network that is trained from the beginning; None for one that is trained already, or has no width
    keep       share of the multiply-adds that pruning leaves
    separable  share that substitution leaves, before pruning; None without it. energies of low-rank forms likewise
    """

    width: float | None
    keep: float
    importance: Importance | None
    separable: float | None
    energy: float | None
    precision: Precision


def has_width(architecture: str) -> bool:
    return "width" in inspect.signature(MODELS[architecture]).parameters


def suggest(trial: Chooser, architecture: str, fresh: bool) -> Choice:
    """Ask for what there is to choose of a network of `architecture`, `fresh` or trained."""
    width = trial.suggest_categorical("width", WIDTHS) if fresh and has_width(architecture) else None
    keep = trial.suggest_float("keep", 0.15, 1.0, step=0.05)
    importance = trial.suggest_categorical("importance", IMPORTANCES) if keep < 1 else None
    substitute = trial.suggest_categorical("substitute", (False, True))
    separable = trial.suggest_float("separable", 0.5, 0.9, step=0.1) if substitute else None
    low_rank = trial.suggest_categorical("low_rank", (False, True))
    energy = trial.suggest_categorical("energy", ENERGIES) if low_rank else None
    return Choice(width, keep, importance, separable, energy, trial.suggest_categorical("precision", PRECISIONS))


def to_recipe(choice: Choice, name: str, fresh: bool, form: Format = "tflite") -> Recipe:
    """Its steps; the exported file is judged whatever it loses, and quickly calibrated."""
    steps: list[Step] = [Finetune(teacher=NO_TEACHER, learning_rate=FRESH_RATE)] if fresh else []
    if choice.separable is not None:
        steps.append(Separable(macs=choice.separable, judged_by="error"))
    if choice.energy is not None:
        steps.append(LowRank(macs=0.8, energies=(choice.energy,), judged_by="error"))
    if choice.importance is not None:
        steps.append(Prune(macs=choice.keep, importance=choice.importance, rounds=1, batches=24))
    if len(steps) > int(fresh):
        steps.append(Finetune(epochs=10))
    steps.append(Export((form,), choice.precision, observer="mse", corrections=False, force=True))
    return Recipe(name, tuple(steps))
