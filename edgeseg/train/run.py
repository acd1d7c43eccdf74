"""`edgeseg train`: from data folders and options to a checkpoint."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeseg.errors import DataError, UsageError
from edgeseg.models import MODELS
from edgeseg.models.checkpoint import ModelCard, load_model
from edgeseg.train.data import PICTURES, Frame, Pair, load, read_folder, split
from edgeseg.train.loop import Schedule, train


def train_model(
    model: str,
    data: Sequence[Path],
    out: Path,
    schedule: Schedule,
    *,
    backgrounds: Path | None = None,
    arguments: dict[str, Any] | None = None,
    size: tuple[int, int] | None = None,
    command: str = "",
    resume: bool = False,
    tell: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train an architecture from fresh weights, or a trained model or checkpoint further; see `loop.train`."""
    fresh = model in MODELS
    if fresh:
        card = ModelCard(model, arguments or {}, name=out.name)
    elif arguments:
        raise UsageError(f"--set describes a new network, but {model} is trained already; leave it out")
    else:
        card = dataclasses.replace(load_model(model).card, name=out.name, ranges={})
    card = dataclasses.replace(card, size=size or card.size, training=f"{command}; {platform.machine()} CPU")
    pairs, training, validation, rooms = material(data, backgrounds)
    card = dataclasses.replace(card, data=describe(pairs))
    tell(f"{len(training)} pairs to train on, {len(validation)} held back, {len(rooms)} backgrounds")
    scores = train(card, training, validation, rooms, out, schedule, initial=None if fresh else model, resume=resume, tell=tell)
    (out / "validation.json").write_text(json.dumps(sorted(pair.image.name for pair in validation), indent=0))
    return scores


def material(data: Sequence[Path], backgrounds: Path | None) -> tuple[list[Pair], list[Pair], list[Pair], list[Frame]]:
    """All pairs, those to train on, those held back, and rooms without people."""
    pairs = [pair for folder in data for pair in read_folder(folder)]
    training, validation = split(pairs)
    if not validation:
        raise DataError(f"{len(pairs)} pairs are too few to hold any back for validation; give at least 20 of each source")
    rooms = pictures_in(backgrounds) if backgrounds else []
    rooms += [load(pair, 480)[0] for pair in training if not load(pair, 64)[1].any()]  # pictures with nobody in them
    return pairs, training, validation, rooms


def pictures_in(folder: Path) -> list[Frame]:
    """All pictures of a folder, at most 480 pixels on the longer side."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    frames = []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES):
        frame = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if frame is None:
            raise DataError(f"{path} cannot be read as a picture")
        factor = min(1.0, 480 / max(frame.shape[:2]))
        frames.append(np.asarray(cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8))
    return frames


def describe(pairs: Sequence[Pair]) -> str:
    """The sources of `pairs` with their counts, for the model card."""
    counts: dict[str, int] = {}
    for pair in pairs:
        counts[pair.source] = counts.get(pair.source, 0) + 1
    return ", ".join(f"{source} ({count})" for source, count in sorted(counts.items(), key=lambda item: -item[1]))


def parse_arguments(settings: Sequence[str]) -> dict[str, Any]:
    """("width=0.5", "rates=[3, 6]") -> {"width": 0.5, "rates": [3, 6]}; what is no JSON is a string."""
    arguments: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"--set takes NAME=VALUE, got {setting!r}")
        try:
            arguments[key] = json.loads(text)
        except ValueError:
            arguments[key] = text
    return arguments
