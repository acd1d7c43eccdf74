"""`edgeseg train`: from data folders and options to a checkpoint."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.errors import DataError, UsageError
from edgeseg.models import MODELS
from edgeseg.models.checkpoint import PERSON, ModelCard, load_model
from edgeseg.models.distil import Teacher
from edgeseg.train.data import PICTURES, Frame, Pair, load, read_folder, split
from edgeseg.train.loop import Held, Schedule, train
from edgeseg.train.losses import CLASS_LOSS, IGNORE, PERSON_LOSS, parse
from edgeseg.train.samples import Augmentation, Sample, from_labels, from_pairs
from edgeseg.train.truth import named_classes, read_truth
from edgeseg.train.weights import class_weights
from edgeseg.whole import write_whole

SCENES = Augmentation(webcam=False, composite=0.0)  # of pictures with labels


@dataclass(frozen=True)
class Folders:
    """Where pictures come from.

    data         images/ with masks/ (a tenth of every source is held back), or labels/ for a network of their classes
    validation   more to judge by; with labels/, all there is
    auxiliary    images/ with labels/ of other classes, to learn features from beside the person
    backgrounds  pictures without people
    """

    data: Sequence[Path]
    validation: Sequence[Path] = ()
    auxiliary: Sequence[Path] = ()
    backgrounds: Path | None = None


@dataclass(frozen=True)
class Material:
    """What the loop learns from and is judged by."""

    samples: list[Sample]
    held: list[Held]
    held_names: list[str]
    rooms: list[Frame]
    classes: tuple[str, ...]
    auxiliary: tuple[str, ...]
    note: str  # what the samples are, for the model card
    person: bool  # masks of persons, not labels of classes


def train_model(
    model: str,
    folders: Folders,
    out: Path,
    schedule: Schedule,
    *,
    arguments: dict[str, Any] | None = None,
    initial: str | None = None,
    teacher: Teacher | None = None,
    size: tuple[int, int] | None = None,
    loss: str = "",
    class_weighting: str = "none",
    command: str = "",
    resume: bool = False,
    tell: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train an architecture from fresh weights, or a trained model or checkpoint further; see `loop.train`.

    loss             an expression (`losses.parse`); "" is the default for the classes
    class_weighting  "none", "enet" or "median": of the pixels of the training pictures
    """
    if loss:
        parse(loss)  # what is wrong with it is said before all pictures are read
    fresh = model in MODELS
    if fresh:
        card = ModelCard(model, arguments or {}, name=out.name)
    elif arguments:
        raise UsageError(f"--set describes a new network, but {model} is trained already; leave it out")
    elif initial:
        raise UsageError(f"--initial is for a new network, but {model} is trained already; leave it out")
    else:
        card = dataclasses.replace(load_model(model).card, name=out.name, ranges={})
    card = dataclasses.replace(card, size=size or card.size, training=f"{command}; {platform.machine()} CPU")
    if teacher:
        how = f"weight {teacher.weight:g}, temperature {teacher.temperature:g}"
        card = dataclasses.replace(card, training=f"{card.training}; distilled from {teacher.name} ({how})")
    if schedule.framings:
        card = dataclasses.replace(card, framings=tuple(framing for framing in schedule.framings if framing != card.size))
    longest = round(max(max(size) for size in (*schedule.framings, card.size)) * 1.25)
    material = read_material(folders, longest)
    if fresh:
        card = dataclasses.replace(card, classes=material.classes, person_class=1 if material.person else None)
    elif card.classes != material.classes:
        raise UsageError(
            f"{model} knows {', '.join(card.classes)}, the data {', '.join(material.classes)}; train an architecture"
        )
    if teacher:
        teacher.check(card.classes)
    if not material.person:
        schedule = dataclasses.replace(schedule, augmentation=SCENES)
    weights = class_weights(class_weighting, (count_pixels(sample, len(material.classes)) for sample in material.samples))
    loss = loss or (PERSON_LOSS if material.person else CLASS_LOSS)
    card = dataclasses.replace(card, data=material.note, loss=" ".join(loss.split()), class_weights=weights)
    tell(
        f"{len(material.samples)} pictures to train on, {len(material.held)} held back, {len(material.rooms)} backgrounds"
        + (f", {len(material.auxiliary)} auxiliary classes" if material.auxiliary else "")
    )
    scores = train(
        card,
        material.samples,
        material.held,
        material.rooms,
        out,
        schedule,
        auxiliary=material.auxiliary,
        initial=initial if fresh else model,
        teacher=teacher,
        resume=resume,
        tell=tell,
    )
    write_whole(out / "validation.json", json.dumps(material.held_names, indent=0).encode())
    return scores


def read_material(folders: Folders, longest: int) -> Material:
    """All pictures of `folders`, decoded, their longer sides `longest` pixels at most."""
    person = all((folder / "masks").is_dir() or not (folder / "labels").is_dir() for folder in folders.data)
    return person_material(folders, longest) if person else class_material(folders, longest)


def person_material(folders: Folders, longest: int) -> Material:
    """Persons and their masks, with auxiliary labels. No auxiliary picture is one of those held back."""
    pairs = [pair for folder in folders.data for pair in read_folder(folder)]
    training, held = split(pairs)
    if not held:
        raise DataError(f"{len(pairs)} pairs are too few to hold any back for validation; give at least 20 of each source")
    samples = from_pairs(training, longest)
    rooms = pictures_in(folders.backgrounds) if folders.backgrounds else []
    empty = [sample.frame for sample in samples if sample.mask is not None and not sample.mask.any()]
    samples += [Sample(room, np.zeros(room.shape[:2], np.uint8)) for room in rooms]
    rooms += empty
    note = describe(pairs)
    auxiliary: tuple[str, ...] = ()
    for folder in folders.auxiliary:
        names = named_classes(folder)
        if auxiliary and names != auxiliary:
            raise DataError(f"{folder} has other classes than the auxiliary folder before it")
        auxiliary = names
        person = names.index("person") if "person" in names else None
        labelled = read_truth(folder, names, None)
        scenes = from_labels(labelled, longest, person, leave_out=[pair.image.stem for pair in held])
        samples += scenes
        rooms += [scene.frame for scene in scenes if scene.mask is not None and not scene.mask.any()]
        note += f", {folder.name} labels ({len(labelled.pairs)})"
    judged = [_held(pair) for pair in held]
    for folder in folders.validation:
        truth = read_truth(folder, PERSON, 1)
        judged += [Held(frame, ids, folder.name) for frame, ids in truth.load()]
    return Material(samples, judged, sorted(pair.image.name for pair in held), rooms, PERSON, auxiliary, note, person=True)


def class_material(folders: Folders, longest: int) -> Material:
    """Pictures with class ids: all of `data` is learned, all of `validation` judges."""
    if folders.auxiliary or folders.backgrounds:
        raise UsageError("--auxiliary and --backgrounds belong to persons with masks; leave them out with labels")
    if not folders.validation:
        raise UsageError("labels are not split by themselves; name a folder that is held back with --validation DIR")
    classes = named_classes(folders.data[0])
    samples: list[Sample] = []
    note = []
    for folder in folders.data:
        truth = read_truth(folder, classes, None)
        samples += from_labels(truth, longest, 1 if len(classes) == 2 else None)  # of two classes the second is learned
        note.append(f"{folder.parent.name}/{folder.name} ({len(truth.pairs)})")
    held, names = [], []
    for folder in folders.validation:
        truth = read_truth(folder, classes, None)
        held += [Held(frame, ids, folder.name) for frame, ids in truth.load()]
        names += [picture.name for picture, _ in truth.pairs]
    return Material(samples, held, sorted(names), [], classes, (), ", ".join(note), person=False)


def count_pixels(sample: Sample, classes: int) -> npt.NDArray[np.float64]:
    """(classes,) pixels of each; of two, by the person's soft mask. What is not known is not counted."""
    known = np.ones(sample.frame.shape[:2], bool) if sample.ids is None else sample.ids != IGNORE
    if classes == 2:
        person = 0.0 if sample.mask is None else float(sample.mask[known].sum(dtype=np.int64)) / 255
        total = 0 if sample.mask is None else int(known.sum())
        return np.array([total - person, person])
    ids = np.zeros(0, np.uint8) if sample.ids is None else sample.ids[known]
    return np.bincount(ids, minlength=classes).astype(np.float64)


def _held(pair: Pair) -> Held:
    frame, mask = load(pair)
    return Held(frame, np.asarray(mask > 127, np.uint8), pair.source)


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
