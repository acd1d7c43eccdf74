"""All that a training is between two epochs, on disk: killed at any moment, it goes on from there to the same result.

The log is part of it, so that the table beside it can neither lack an epoch nor have one twice.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from edgeseg.errors import ModelError
from edgeseg.train.learner import Learner
from edgeseg.train.log import Row
from edgeseg.whole import write_whole

Settings = Mapping[str, str]  # by name, of what should be the same when a training goes on


def save_state(path: Path, learner: Learner, rows: Sequence[Row], settings: Settings, seconds: float) -> None:
    """Write it whole. `rows` has one for every finished epoch."""
    held = io.BytesIO()  # torch would say of a full disk that its writer failed, and not why
    log = [dataclasses.asdict(row) for row in rows]
    torch.save({**learner.state(), "rows": log, "settings": dict(settings), "seconds": seconds}, held)
    write_whole(path, held.getvalue())


def load_state(path: Path, learner: Learner, settings: Settings, must: Sequence[str]) -> tuple[list[Row], float, list[str]]:
    """Load what `save_state` wrote into `learner`; gives the rows, the seconds, and what of `settings` has changed.

    must  names of settings that may not have changed

    ModelError where there is no such file, it cannot be read, or it belongs to another training.
    """
    if not path.is_file():
        raise ModelError(f"nothing to resume: {path} does not exist; leave out --resume to begin")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, UnpicklingError) as error:
        why = (str(error).splitlines() or ["it is empty"])[0]
        raise ModelError(f"{path} cannot be read ({why}); leave out --resume to begin anew") from None
    if not isinstance(state, dict) or "rows" not in state:
        raise ModelError(f"{path} is not a state of this kind of training; leave out --resume, or choose another --out")
    before = state["settings"]
    changed = [name for name in settings if before.get(name) != settings[name]]
    for name in must:
        if name in changed:
            raise ModelError(
                f"{path} belongs to a training with {name} {before.get(name)}, not {settings[name]}; "
                "give the same again, or another --out"
            )
    try:
        learner.load(state)
    except (RuntimeError, KeyError, ValueError) as error:
        raise ModelError(f"{path} does not fit this network ({' '.join(str(error).split())[:120]})") from None
    return [Row(**row) for row in state["rows"]], float(state["seconds"]), changed
