"""From data folders to what training learns from and is judged by. What is wrong with a folder is counted and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.errors import DataError, UsageError
from edgeseg.models.checkpoint import PERSON
from edgeseg.train.data import Frame, Pair, load, load_all, read_folder, split, without_picture
from edgeseg.train.data import pictures_in as paths_in
from edgeseg.train.losses import IGNORE
from edgeseg.train.pictures import read_frame
from edgeseg.train.samples import Sample, from_labels, from_pair
from edgeseg.train.truth import named_classes, read_truth
from edgeseg.train.validate import Held

Pixels = npt.NDArray[np.float64]  # (classes,)


@dataclass(frozen=True)
class Folders:
    """Where pictures come from.

    data         images/ with masks/ (a tenth of every source is held back), or labels/ for a network of their classes
    validation   more to judge by; with labels/, all there is
    auxiliary    images/ with labels/ of other classes, to learn features from beside the person
    backgrounds  pictures without people
    classes      learn the classes of `auxiliary`; else only the persons in it
    """

    data: Sequence[Path]
    validation: Sequence[Path] = ()
    auxiliary: Sequence[Path] = ()
    backgrounds: Path | None = None
    classes: bool = True


@dataclass(frozen=True)
class Material:
    """What the loop learns from and is judged by.

    pixels   (c,) of every class, for each of the samples
    notices  what is worth a line: truth without a picture, classes that no training picture has
    """

    samples: list[Sample]
    held: list[Held]
    held_names: list[str]
    rooms: list[Frame]
    classes: tuple[str, ...]
    auxiliary: tuple[str, ...]
    note: str  # what the samples are, for the model card
    person: bool  # masks of persons, not labels of classes
    pixels: list[Pixels]
    notices: list[str]


class Strange:
    """Label files with ids that no class has."""

    def __init__(self) -> None:
        self.files: list[Path] = []
        self.ids: set[int] = set()

    def add(self, path: Path, ids: list[int]) -> None:
        self.files.append(path)
        self.ids.update(ids)

    def notice(self) -> list[str]:
        """A line, if there are any."""
        if not self.files:
            return []
        ids = ", ".join(map(str, sorted(self.ids)))
        return [f"{len(self.files)} label files have ids outside the classes ({ids}), left out; the first is {self.files[0]}"]


def read_material(folders: Folders, longest: int) -> Material:
    """All pictures of `folders`, decoded, their longer sides `longest` pixels at most.

    DataError where pictures or their truth are missing or cannot be used; they are counted, and the first is named.
    """
    person = all((folder / "masks").is_dir() or not (folder / "labels").is_dir() for folder in folders.data)
    return person_material(folders, longest) if person else class_material(folders, longest)


def person_material(folders: Folders, longest: int) -> Material:
    """Persons and their masks, with auxiliary labels. No auxiliary picture is one of those held back."""
    pairs = [pair for folder in folders.data for pair in read_folder(folder)]
    training, held = split(pairs)
    if not held:
        raise DataError(f"{len(pairs)} pairs are too few to hold any back for validation; give at least 20 of each source")
    samples, judged = _loaded(training, held, longest)
    rooms = pictures_in(folders.backgrounds) if folders.backgrounds else []
    empty = [sample.frame for sample in samples if sample.mask is not None and not sample.mask.any()]
    if len(empty) == len(samples):
        raise DataError(f"none of the {len(samples)} training masks shows a person; their pixels must be 255 where one is")
    origin = (folders.backgrounds.name,) if folders.backgrounds else ()
    samples += [Sample(room, np.zeros(room.shape[:2], np.uint8), origins=origin) for room in rooms]
    rooms += empty
    note = describe(pairs)
    auxiliary: tuple[str, ...] = ()
    strange = Strange()
    for folder in folders.auxiliary:
        names = named_classes(folder)
        if auxiliary and names != auxiliary:
            raise DataError(f"{folder} has other classes than the auxiliary folder before it")
        auxiliary = names
        person = names.index("person") if "person" in names else None
        labelled = read_truth(folder, names, None)
        out = [pair.image.stem for pair in held]
        scenes = from_labels(labelled, longest, person, leave_out=out, report=strange.add)
        samples += scenes
        rooms += [scene.frame for scene in scenes if scene.mask is not None and not scene.mask.any()]
        note += f", {folder.name} labels ({len(labelled.pairs)})"
    for folder in folders.validation:
        truth = read_truth(folder, PERSON, 1)
        judged += [Held(frame, ids, folder.name) for frame, ids in load_all(truth.pairs, truth.read)]
    held_names = sorted(pair.image.name for pair in held)
    pixels = [count_pixels(sample, 2) for sample in samples]
    notices = [
        *_unpaired(folders),
        *strange.notice(),
        *_empty(auxiliary, [_ids_of(sample, len(auxiliary)) for sample in samples]),
    ]
    learned = auxiliary if folders.classes else ()
    return Material(samples, judged, held_names, rooms, PERSON, learned, note, True, pixels, notices)


def class_material(folders: Folders, longest: int) -> Material:
    """Pictures with class ids: all of `data` is learned, all of `validation` judges."""
    if folders.auxiliary or folders.backgrounds:
        raise UsageError("--auxiliary and --backgrounds belong to persons with masks; leave them out with labels")
    if not folders.validation:
        raise UsageError("labels are not split by themselves; name a folder that is held back with --validation DIR")
    classes = named_classes(folders.data[0])
    samples: list[Sample] = []
    note = []
    strange = Strange()
    for folder in folders.data:
        truth = read_truth(folder, classes, None)
        samples += from_labels(truth, longest, 1 if len(classes) == 2 else None, report=strange.add)  # of two the second
        note.append(f"{folder.parent.name}/{folder.name} ({len(truth.pairs)})")
    held, names = [], []
    for folder in folders.validation:
        truth = read_truth(folder, classes, None)
        held += [Held(frame, ids, folder.name) for frame, ids in load_all(truth.pairs, truth.read)]
        names += [picture.name for picture, _ in truth.pairs]
    pixels = [count_pixels(sample, len(classes)) for sample in samples]
    notices = [*_unpaired(folders), *strange.notice(), *_empty(classes, pixels)]
    return Material(samples, held, sorted(names), [], classes, (), ", ".join(note), False, pixels, notices)


def count_pixels(sample: Sample, classes: int) -> Pixels:
    """(classes,) pixels of each; of two, by the person's soft mask. What is not known is not counted."""
    known = np.ones(sample.frame.shape[:2], bool) if sample.ids is None else sample.ids != IGNORE
    if classes == 2:
        person = 0.0 if sample.mask is None else float(sample.mask[known].sum(dtype=np.int64)) / 255
        total = 0 if sample.mask is None else int(known.sum())
        return np.array([total - person, person])
    return _ids_of(sample, classes)


def _ids_of(sample: Sample, classes: int) -> Pixels:
    ids = np.zeros(0, np.uint8) if sample.ids is None else sample.ids[sample.ids != IGNORE]
    return np.bincount(ids, minlength=classes).astype(np.float64)


def _empty(classes: Sequence[str], pixels: Sequence[Pixels]) -> list[str]:
    """A line that names the classes without a pixel, if there are any."""
    counts = sum(pixels, np.zeros(len(classes)))
    names = [name for name, count in zip(classes, counts, strict=True) if not count]
    return [f"no training picture has {', '.join(names)}: what is not shown cannot be learned"] if names else []


def _unpaired(folders: Folders) -> list[str]:
    lines = []
    for folder in (*folders.data, *folders.validation, *folders.auxiliary):
        if lonely := without_picture(folder):
            lines.append(
                f"{folder}: {len(lonely)} of the truth have no picture and are left out; the first is {lonely[0].name}"
            )
    return lines


def _loaded(training: Sequence[Pair], held: Sequence[Pair], longest: int) -> tuple[list[Sample], list[Held]]:
    """Both at once, so that what cannot be used is counted over all."""

    def read(pair: Pair) -> Sample | Held:
        if pair not in back:
            return from_pair(pair, longest)
        frame, mask = load(pair)
        return Held(frame, np.asarray(mask > 127, np.uint8), pair.source)

    back = set(held)
    both = load_all([*training, *held], read)
    return [item for item in both if isinstance(item, Sample)], [item for item in both if isinstance(item, Held)]


def pictures_in(folder: Path) -> list[Frame]:
    """All pictures of a folder, at most 480 pixels on the longer side. DataError counts those that cannot be used."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    frames = []
    for frame in load_all(paths_in(folder), read_frame):
        factor = min(1.0, 480 / max(frame.shape[:2]))
        frames.append(np.asarray(cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8))
    return frames


def describe(pairs: Sequence[Pair]) -> str:
    """The sources of `pairs` with their counts, for the model card."""
    counts: dict[str, int] = {}
    for pair in pairs:
        counts[pair.source] = counts.get(pair.source, 0) + 1
    return ", ".join(f"{source} ({count})" for source, count in sorted(counts.items(), key=lambda item: -item[1]))
