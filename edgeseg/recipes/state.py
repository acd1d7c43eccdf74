"""How far a compression has come, on disk: state.json, written whole after every step.

Every finished step has a row whose key depends on the model, the settings and all steps up to it. What has the same key
is not done again; a recipe whose end was changed is taken up where it differs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeseg.errors import ModelError, UsageError
from edgeseg.models.checkpoint import Model, load_checkpoint
from edgeseg.recipes.budget import Costs
from edgeseg.recipes.steps import Step
from edgeseg.whole import write_whole

FORMAT = 1
STATE = "state.json"


@dataclass(frozen=True)
class Row:
    """A network after a step; the first one is the original."""

    key: str
    title: str
    file: str  # its checkpoint, in the folder of the state
    sha256: str  # of the weights
    costs: Costs  # of the checkpoint: size_bytes is that of the file
    scores: dict[str, float]  # of validation, the most important first; of a step for int8 with that imitated
    seconds: float
    files: tuple[dict[str, Any], ...] = ()  # that were exported


@dataclass
class State:
    """`settings` may not change between a beginning and its resumption.

    macs_per_ms  of the device that the budget speaks of, as it was measured at the beginning; 0 where it speaks of none
    running      key of the step that was begun
    """

    settings: dict[str, str]
    macs_per_ms: float = 0.0
    rows: list[Row] = field(default_factory=list)
    running: str = ""

    def save(self, folder: Path) -> None:
        text = json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1)
        write_whole(folder / STATE, text.encode())

    def keep(self, keys: Sequence[str], folder: Path) -> int:
        """Forget the rows from the first that has another key than is wanted, or whose file is not as it was; gives the number
        of those that stay.
        """
        good = 0
        for row, key in zip(self.rows, keys, strict=False):
            if row.key != key or not _there(row, folder):
                break
            good += 1
        self.rows = self.rows[:good]
        return good


def load_state(folder: Path, settings: Mapping[str, str]) -> State | None:
    """What a run in `folder` has left; None where it left nothing.

    ModelError where it cannot be read, UsageError where it is of other settings.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ModelError(f"{path} was written by another version of edgeseg; begin again with another -o")
        rows = [Row(**{**row, "costs": Costs(**row["costs"]), "files": tuple(row["files"])}) for row in values["rows"]]
        state = State(values["settings"], values["macs_per_ms"], rows, values["running"])
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ModelError(f"{path} is not the state of a compression ({error}); begin again with another -o") from None
    for name in {**state.settings, **settings}:
        old, new = state.settings.get(name, "none"), settings.get(name, "none")
        if old != new:
            raise UsageError(f"{folder} was begun with {name} {old}, and now it is {new}; give the same, or another -o")
    return state


def keys_of(settings: Mapping[str, str], steps: Sequence[Step], limits: Mapping[str, float]) -> list[str]:
    """The key of the original, and one for each step."""
    keys = [_hash(dict(settings))]
    for step in steps:
        aim = dict(limits) if getattr(step, "macs", 0) is None else {}  # it goes as far as the budget needs
        keys.append(_hash([keys[-1], step.kind, _options(step), aim]))
    return keys


def _options(step: Step) -> dict[str, Any]:
    """Those that are not as they are by default: an option that a later version adds is nothing new to an older run."""
    default = {field.name: field.default for field in dataclasses.fields(step)}
    return {name: value for name, value in dataclasses.asdict(step).items() if value != default[name]}


def open_row(file: str, folder: Path) -> Model:
    """The checkpoint of a row."""
    return load_checkpoint(folder / file)


def _there(row: Row, folder: Path) -> bool:
    try:
        same = open_row(row.file, folder).weights_sha256 == row.sha256
        return same and all(Path(file["path"]).is_file() for file in row.files)
    except ModelError:
        return False


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
