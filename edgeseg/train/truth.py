"""The truth of a data folder as class ids of the model that is judged against it. No torch: devices evaluate too.

`masks/` hold the person (8-bit, 128 and more); `labels/` hold class ids, which `classes.csv` (`id,name,...`, in the folder or
the one above it) names. Ids are matched to the model's classes by name, not by number.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.errors import DataError
from edgeseg.train.data import pictures_in, read_folder
from edgeseg.train.metrics import IGNORE
from edgeseg.train.pictures import Frame, decode, read_bytes, read_frame

VOID = {"void", "unlabelled", "unlabeled", "ignore", "ignored"}
PERSON_CLASSES = ("background", "person")

ClassIds = npt.NDArray[np.uint8]  # (h, w), IGNORE where not labelled


@dataclass(frozen=True)
class TruthFolder:
    """Pictures with their truth.

    classes  what the truth tells apart; `table[i]` is the class of stored value i, or IGNORE
    unnamed  stored values that belong to no class, and are not judged
    binary   the truth knows the person only: a model of several classes is judged by its person class alone
    """

    pairs: tuple[tuple[Path, Path], ...]  # picture, truth
    classes: tuple[str, ...]
    table: ClassIds  # (256,)
    binary: bool
    unnamed: tuple[int, ...] = ()

    def load(self, limit: int | None = None) -> Iterator[tuple[Frame, ClassIds]]:
        """Frames (h, w, 3) uint8 BGR with class ids (h, w). DataError names a file that cannot be used."""
        yield from map(self.read, self.pairs[:limit])

    def read(
        self, pair: tuple[Path, Path], report: Callable[[Path, list[int]], None] = lambda truth, ids: None
    ) -> tuple[Frame, ClassIds]:
        """One of the pairs; see `load`. `report` hears of a file with ids outside the classes, and which."""
        picture, truth = pair
        frame = read_frame(picture)
        # A label file may be a palette picture, whose indices OpenCV cannot read: labels are plain 8-bit.
        stored = decode(read_bytes(truth), truth, cv2.IMREAD_GRAYSCALE if self.binary else cv2.IMREAD_UNCHANGED)
        if stored.ndim != 2 or stored.dtype != np.uint8:
            raise DataError(
                f"{truth} must be an 8-bit picture of class ids with one channel, got {stored.shape} {stored.dtype}"
            )
        if stored.shape != frame.shape[:2]:
            raise DataError(
                f"{picture} is {frame.shape[0]}x{frame.shape[1]}, its truth {stored.shape[0]}x{stored.shape[1]} pixels"
            )
        ids = np.asarray(stored, np.uint8)
        present = np.bincount(ids.reshape(-1), minlength=256)
        if strange := [i for i in self.unnamed if present[i]]:
            report(truth, strange)
        return frame, self.table[ids]


def read_truth(folder: Path, classes: Sequence[str], person_class: int | None) -> TruthFolder:
    """The pairs of `folder` as truth for a model with `classes`.

    labels/  are taken where they are; a class that the model does not know is background to a person model, and an error
             for any other. Classes named void, unlabelled or ignore, and the id 255, are not judged
    masks/   judge the person alone

    DataError where there is neither, a picture lacks its truth, or the classes do not fit.
    """
    if not (folder / "labels").is_dir():
        if person_class is None:
            raise DataError(f"{folder} has person masks, but the model knows no person; give a folder with labels/")
        table = (np.arange(256) >= 128).astype(np.uint8)
        return TruthFolder(tuple((p.image, p.mask) for p in read_folder(folder)), PERSON_CLASSES, table, binary=True)
    names = _names(folder)
    table = np.full(256, IGNORE, np.uint8)
    known = {name.lower(): i for i, name in enumerate(classes)}
    rest = 1 - person_class if person_class is not None and len(classes) == 2 else None
    if rest is not None and names and classes[1 - rest].lower() not in map(str.lower, names.values()):
        raise DataError(f"{folder} labels no class named {classes[1 - rest]!r}; it has {', '.join(names.values())}")
    unknown = []
    for i, name in (names or dict(enumerate(classes))).items():
        if name.lower() in known:
            table[i] = known[name.lower()]
        elif name.lower() not in VOID:
            unknown.append(name)
            table[i] = rest if rest is not None else IGNORE
    if unknown and rest is None:
        raise DataError(f"{folder} has classes the model does not know: {', '.join(unknown)}; it knows {', '.join(classes)}")
    unnamed = tuple(i for i in range(255) if i not in (names or range(len(classes))))
    return TruthFolder(tuple(_label_pairs(folder)), tuple(classes), table, binary=False, unnamed=unnamed)


def named_classes(folder: Path) -> tuple[str, ...]:
    """The classes that the classes.csv of a folder with labels/ names, in order of their ids, without void.

    DataError where there is no such file.
    """
    names = _names(folder)
    if names is None:
        raise DataError(f"{folder} has no classes.csv (columns id, name), nor has the folder above it")
    return tuple(name for _, name in sorted(names.items()) if name.lower() not in VOID)


def _label_pairs(folder: Path) -> Iterator[tuple[Path, Path]]:
    if not (folder / "images").is_dir():
        raise DataError(f"{folder} has no images/ folder; a data folder holds images/ and labels/ with the same stems")
    truth = {path.stem: path for path in pictures_in(folder / "labels")}
    pictures = pictures_in(folder / "images")
    lonely = [path.name for path in pictures if path.stem not in truth]
    if lonely or not pictures:
        what = f"{len(lonely)} pictures without labels, the first is {lonely[0]}" if lonely else "no pictures"
        raise DataError(f"{folder / 'images'} has {what}")
    yield from ((path, truth[path.stem]) for path in pictures)


def _names(folder: Path) -> dict[int, str] | None:
    """Stored id -> name from classes.csv; None where there is none, and ids are those of the model."""
    path = next((p for p in (folder / "classes.csv", folder.parent / "classes.csv") if p.is_file()), None)
    if path is None:
        return None
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            names = {int(row["id"]): row["name"].strip() for row in csv.DictReader(file)}
    except (KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        raise DataError(f"{path} must have columns id and name, with numbers as ids ({error})") from None
    if not all(0 <= i <= 255 for i in names):
        raise DataError(f"{path} has ids beyond 0 to 255")
    return names
