"""A data folder as it is: what it holds, pixels by class, and what is wrong with it. Nothing stops at the first error."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgeseg.errors import DataError
from edgeseg.train.data import Frame, read_prefix, read_sources
from edgeseg.train.pictures import read_frame, read_plane
from edgeseg.train.readers.base import IGNORE, Ids, by_stem
from edgeseg.train.truth import PERSON_CLASSES, VOID
from edgeseg.train.weights import enet_weights, median_frequency, shares_of

MASK_THRESHOLD = 128


@dataclass(frozen=True)
class DataFolder:
    """Pictures and truth by stem.

    masks    the truth are masks/ of the person; else labels/
    classes  stored id -> (name, "#rrggbb" or "") from classes.csv; None where there is no such file
    """

    path: Path
    masks: bool
    pictures: dict[str, Path]
    truth: dict[str, Path]
    classes: dict[int, tuple[str, str]] | None
    sources: dict[str, str]

    def load(self, stem: str) -> tuple[Frame, Ids]:
        """Picture and stored truth, ids or mask. PictureError names a file that cannot be read, DataError sizes that differ."""
        frame, truth = read_frame(self.pictures[stem]), read_plane(self.truth[stem])
        if frame.shape[:2] != truth.shape:
            size = f"{frame.shape[0]}x{frame.shape[1]}", f"{truth.shape[0]}x{truth.shape[1]}"
            raise DataError(f"{self.pictures[stem]} is {size[0]}, its truth {size[1]} pixels")
        return frame, truth

    def ids(self, truth: Ids) -> Ids:
        """Class ids of stored truth: of masks 0 and 1, of labels as stored."""
        return (truth >= MASK_THRESHOLD).astype(np.uint8) if self.masks else truth

    def source(self, stem: str) -> str:
        """Where a picture comes from."""
        return self.sources.get(self.pictures[stem].name) or read_prefix(stem)


@dataclass
class Survey:
    """What was found.

    pixels    stored id -> pixels;  present  id -> labelled pixels of the pictures in which it appears
    problems  what is wrong -> files (or classes) it is wrong with
    """

    pictures: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)
    present: Counter[int] = field(default_factory=Counter)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def complain(self, what: str, name: str) -> None:
        """Count `name` under a problem."""
        self.problems.setdefault(what, []).append(name)


@dataclass(frozen=True)
class ClassShare:
    """A class: its pixels, its share of the labelled ones, and its weights (see `weights`)."""

    id: int
    name: str
    pixels: int
    share: float
    enet: float
    median_frequency: float


def open_folder(path: Path) -> DataFolder:
    """DataError where it has no images/, or neither labels/ nor masks/, or a classes.csv that cannot be read."""
    truth = next((path / name for name in ("labels", "masks") if (path / name).is_dir()), None)
    if truth is None or not (path / "images").is_dir():
        raise DataError(f"{path} is no data folder; it must hold images/ and labels/ or masks/ with the same stems")
    masks = truth.name == "masks"
    names = {i: (name, "") for i, name in enumerate(PERSON_CLASSES)} if masks else _classes(path)
    return DataFolder(path, masks, by_stem(path / "images"), by_stem(truth), names, read_sources(path))


def survey(folder: DataFolder, on_picture: Callable[[], None] = lambda: None) -> Survey:
    """Read every pair once."""
    result = Survey(pictures=len(folder.pictures))
    for what, one, other in (
        ("pictures without truth", folder.pictures, folder.truth),
        ("truth without a picture", folder.truth, folder.pictures),
    ):
        for stem in sorted(one.keys() - other.keys()):
            result.complain(what, one[stem].name)
    for stem in sorted(folder.pictures):
        on_picture()
        result.sources[folder.source(stem)] += 1
        if stem not in folder.truth:
            continue
        try:
            _, truth = folder.load(stem)
        except DataError as error:
            what = "sizes that differ" if type(error) is DataError else "files that cannot be read"
            result.complain(what, str(error))
            continue
        _count(folder, folder.truth[stem].name, folder.ids(truth), result)
    if not folder.pictures:
        result.complain("empty folders", str(folder.path / "images"))
    for i, (name, _) in sorted((folder.classes or {}).items()):
        if not result.pixels[i] and not _is_void(i, name):
            result.complain("classes without a pixel", name)
    return result


def _count(folder: DataFolder, name: str, ids: Ids, result: Survey) -> None:
    counts = np.bincount(ids.reshape(-1), minlength=256)
    found = np.flatnonzero(counts).tolist()
    if folder.classes is not None:
        foreign = [i for i in found if i not in folder.classes and i != IGNORE]
        if foreign:
            result.complain("ids outside the classes", f"{name}: {', '.join(map(str, foreign))}")
    judged = [i for i in found if not _is_void(i, (folder.classes or {}).get(i, ("", ""))[0])]
    labelled = int(counts[judged].sum())
    for i in found:
        result.pixels[i] += int(counts[i])
        result.present[i] += labelled


def table(folder: DataFolder, result: Survey) -> list[ClassShare]:
    """Classes by id, without void; ids outside classes.csv are not in it."""
    named = folder.classes or {i: (f"class {i}", "") for i in result.pixels}
    ids = [i for i in sorted(named) if not _is_void(i, named[i][0])]
    pixels = [result.pixels[i] for i in ids]
    shares = shares_of(pixels)
    frequency = shares_of(pixels, [result.present[i] for i in ids])
    columns = (shares.tolist(), enet_weights(shares).tolist(), median_frequency(frequency).tolist())
    return [ClassShare(i, named[i][0], n, *row) for i, n, *row in zip(ids, pixels, *columns, strict=True)]


def _is_void(i: int, name: str) -> bool:
    return i == IGNORE or name.lower() in VOID


def _classes(path: Path) -> dict[int, tuple[str, str]] | None:
    file = next((p for p in (path / "classes.csv", path.parent / "classes.csv") if p.is_file()), None)
    if file is None:
        return None
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = {int(row["id"]): (row["name"].strip(), (row.get("colour") or "").strip()) for row in csv.DictReader(lines)}
    except (KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        raise DataError(f"{file} must have columns id and name, with numbers as ids ({error})") from None
    if not all(0 <= i <= 255 for i in rows):
        raise DataError(f"{file} has ids beyond 0 to 255")
    return rows
