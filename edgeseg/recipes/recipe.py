"""A recipe: what is done to a network, in which order, and what it must come to. A TOML file, or a preset by its name.

    [budget]
    macs = 60e6                  # or: limits = ["macs <= 60e6", "latency_ms <= 8"]; see `budget.py`
    device = "pi4.json"          # for latency_ms: a report of edgeseg bench, or "this machine"

    [floor]
    max_drop = 1.0               # points; or min = 0.93, and metric = "iou/person"

    [[step]]
    kind = "prune"               # its options are the fields of the classes in `steps.py`
    importance = "taylor"

    [[step]]
    kind = "finetune"
    epochs = 30

`budget = ["macs <= 60e6"]` and `floor = "iou >= 0.93"` say the same as the tables.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeseg.errors import UsageError
from edgeseg.recipes.budget import THIS_MACHINE, Budget, Floor, parse_floor, parse_limit
from edgeseg.recipes.steps import STAGES, STEPS, Export, Qat, Step
from edgeseg.spec import typed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class Recipe:
    """Steps in their order, and what they must come to."""

    name: str
    steps: tuple[Step, ...]
    budget: Budget = field(default_factory=Budget)
    floor: Floor = field(default_factory=Floor)

    def __post_init__(self) -> None:
        if not self.steps:
            raise UsageError(f"{self.name} has no steps; write [[step]] tables")
        for before, step in itertools.pairwise(self.steps):
            if STAGES.index(step.stage) < STAGES.index(before.stage):
                raise UsageError(f"{self.name}: {step.kind} comes after {before.kind} and would undo it; put it before")
        if [step.stage for step in self.steps].count("int8") > 1:
            raise UsageError(f"{self.name} has qat twice; once is enough")

    @property
    def precision(self) -> str:
        """Of the result: that of its exported files, or else of its checkpoint."""
        return next((step.precision for step in reversed(self.steps) if isinstance(step, Export)), self.trained_precision)

    @property
    def trained_precision(self) -> str:
        return "int8" if any(isinstance(step, Qat) for step in self.steps) else "float32"


def presets() -> list[str]:
    """Names of the recipes that ship."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """A preset by name or a TOML file by path. UsageError, in one line, for what cannot be."""
    path = Path(name) if name.endswith(".toml") or "/" in name else PRESETS / f"{name}.toml"
    if not path.is_file():
        raise UsageError(f"there is no recipe {name}; give a TOML file, or one of: {', '.join(presets())}")
    try:
        return parse_recipe(path.read_text(encoding="utf-8"), path.stem, path.parent)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


def parse_recipe(text: str, name: str, folder: Path = Path()) -> Recipe:
    """`folder` is where a device file is looked for that is not in the current one."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"recipe {name} is not TOML: {error}") from None
    _only(values, ("step", "budget", "floor"), f"recipe {name}")
    rows = values.get("step", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"recipe {name} must write its steps as [[step]] tables")
    steps = tuple(parse_step(row, f"step {i} of {name}") for i, row in enumerate(rows, 1))
    try:
        return Recipe(name, steps, _budget(values.get("budget", {}), folder), _floor(values.get("floor", {})))
    except ValueError as error:
        raise UsageError(f"recipe {name}: {error}") from None


def parse_step(row: dict[str, Any], where: str) -> Step:
    """A step from its table."""
    kind = row.get("kind")
    if kind not in STEPS:
        got = "has no kind" if kind is None else f"is of the unknown kind {kind!r}"
        raise UsageError(f"{where} {got}; there are: {', '.join(STEPS)}")
    step = STEPS[kind]
    hints = typing.get_type_hints(step)
    options = [field.name for field in dataclasses.fields(step)]
    _only(row, ("kind", *options), f"{where} ({kind})")
    try:
        return step(**{name: typed(name, value, hints[name]) for name, value in row.items() if name != "kind"})
    except (ValueError, UsageError) as error:
        raise UsageError(f"{where} ({kind}): {error}") from None


def _budget(value: Any, folder: Path) -> Budget:
    table = {"limits": value} if isinstance(value, list | str) else value
    if not isinstance(table, dict):
        raise UsageError(f"a budget is a table or a list as in ['macs <= 60e6'], got {value!r}")
    written = table.get("limits", [])
    limits = dict(parse_limit(typed("limits", text, str)) for text in ([written] if isinstance(written, str) else written))
    numbers = {key: typed(key, n, float) for key, n in table.items() if key not in ("limits", "device")}
    device = typed("device", table.get("device", ""), str)
    if device not in ("", THIS_MACHINE) and not Path(device).is_file():
        if not (folder / device).is_file():
            raise UsageError(f"there is no device file {device}; write one on the device: edgeseg bench --json > FILE.json")
        device = str(folder / device)
    return Budget({**limits, **numbers}, device)


def _floor(value: Any) -> Floor:
    if isinstance(value, str):
        return parse_floor(value)
    if not isinstance(value, dict):
        raise UsageError(f"a floor is a table or as in 'iou >= 0.93', got {value!r}")
    _only(value, ("metric", "min", "max_drop"), "the floor")
    least = typed("min", value.get("min"), float | None)
    return Floor(typed("metric", value.get("metric", ""), str), least, typed("max_drop", value.get("max_drop"), float | None))


def _only(table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    unknown = [key for key in table if key not in known]
    if unknown:
        raise UsageError(f"{where} has no {unknown[0]!r}; there are: {', '.join(known)}")
