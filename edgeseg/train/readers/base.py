"""What every reader gives: a `Collection` of named classes and `Item`s, each loaded when it is its turn."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgeseg.errors import DataError
from edgeseg.train.data import Frame, pictures_in
from edgeseg.train.pictures import PictureError, read_bytes

IGNORE = 255
MAX_CLASSES = 255  # ids are 8-bit and 255 is ignored
MAX_JSON_BYTES = 2 << 30  # the largest published one, COCO-Stuff's, has 1.1 GB

Ids = npt.NDArray[np.uint8]  # (h, w) class ids, IGNORE where not labelled


class ItemError(DataError):
    """One picture of a set that cannot be used; `reason` is what such pictures are counted under."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Sample:
    """A picture with its truth.

    picture  a file that may be taken over as it is, or a decoded frame (h, w, 3) BGR
    ids      (h, w) class ids of the collection
    unknown  names of annotations that were left out, since their class or shape is not known; one entry for each
    """

    picture: Path | Frame
    ids: Ids
    unknown: Sequence[str] = ()


@dataclass(frozen=True)
class Item:
    """`stem` names the files that are written; `source` is the sitting (video, city, volume) by which sets are split.

    `load` raises ItemError or PictureError where this picture cannot be used.
    """

    stem: str
    source: str
    load: Callable[[], Sample]


@dataclass(frozen=True)
class Collection:
    """A published set, or a split of it.

    classes  names; id i is classes[i]
    colours  "#rrggbb" of each class as published, or none
    person   classes that make up a person, for masks
    """

    classes: Sequence[str]
    items: Sequence[Item]
    person: Sequence[str] = ()
    colours: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        if len(self.classes) > MAX_CLASSES:
            raise DataError(f"{len(self.classes)} classes; 8-bit ids hold {MAX_CLASSES}. Choose some with --classes")


class Reader(Protocol):
    """Reads the layout in which a set is published.

    `split` None takes all that is labelled, or the training part of a set that is always used in parts. DataError where
    the layout or the split is not there.
    """

    def __call__(self, source: Path, split: str | None) -> Collection: ...


def first_folder(source: Path, choices: Iterable[str], what: str) -> Path:
    """The first of `choices` that is a folder under `source`; DataError names them all."""
    tried = list(choices)
    for choice in tried:
        if (source / choice).is_dir():
            return source / choice
    raise DataError(f"{source} is not {what}: it has no folder {' or '.join(tried)}")


def by_stem(folder: Path) -> dict[str, Path]:
    """Pictures of a folder by stem."""
    return {path.stem: path for path in pictures_in(folder)}


def read_list(path: Path) -> list[str]:
    """First words of the lines of a split file. DataError where it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a list of names ({error})") from None
    return [line.split()[0] for line in lines if line.strip()]


def require(items: list[Item], source: Path, what: str) -> list[Item]:
    """`items`; DataError where there are none."""
    if not items:
        raise DataError(f"{source} has no {what}")
    return items


def no_splits(split: str | None, what: str) -> None:
    """DataError where a split is asked of a set that has none."""
    if split is not None:
        raise DataError(f"{what} has no splits, got {split}; leave out --split")


def read_json(path: Path) -> Any:
    """The document; DataError where it is none, too large or nested too deeply."""
    try:
        return json.loads(read_bytes(path, MAX_JSON_BYTES))
    except PictureError as error:
        raise DataError(str(error)) from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise DataError(f"{path} is not JSON that can be read ({str(error)[:80]})") from None


def safe_stem(name: str) -> str:
    """A file stem from a name out of an annotation: no folders, nothing that leads out of a folder."""
    path = re.sub(r"\.[A-Za-z]{3,4}$", "", name.replace("\\", "/"))
    return re.sub(r"[^\w.-]+", "_", path).strip("._") or "unnamed"


def inside(source: Path, *parts: str) -> Path | None:
    """`source` / parts where that is a file below `source`; an annotation must not lead anywhere else."""
    path = source.joinpath(*(part.replace("\\", "/") for part in parts))
    try:
        return path if path.is_file() and path.resolve().is_relative_to(source.resolve()) else None
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return None


def missing(name: str) -> ItemError:
    """What a reader raises where a picture or its truth is not there."""
    return ItemError("missing pictures", f"{name} is not there")
