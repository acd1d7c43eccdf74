"""From a published data set to a data folder: images/ with labels/ or masks/, classes.csv and manifest.csv."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from edgeseg.errors import DataError, UsageError
from edgeseg.train.data import PICTURES, Frame
from edgeseg.train.pictures import read_bytes, read_frame, read_size
from edgeseg.train.readers.base import IGNORE, Collection, Ids, Item, ItemError, Sample
from edgeseg.whole import make_folder, write_whole

JPEG_QUALITY = 95
NAMED = 5  # files that are named for each reason; all are counted


@dataclass
class Report:
    """What became of the pictures.

    skipped   reason -> messages, for pictures that could not be used
    left_out  class or annotation -> number of pictures in which it was left out
    """

    written: int = 0
    already_there: int = 0
    skipped: dict[str, list[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Choice:
    """Which stored value each id of a collection becomes: `table` (256,), and the names of the values in labels/."""

    table: Ids
    names: Sequence[str]
    person: bool


def choose(collection: Collection, classes: Sequence[str], person: bool) -> Choice:
    """The ids to store.

    Without `classes` all are kept. With them they get ids in their order; every other class becomes `background` where that
    is one of them, else it is ignored. For `person` the classes are what makes up a person. UsageError for unknown names.
    """
    known = {name.lower(): i for i, name in enumerate(collection.classes)}
    chosen = [name.strip() for name in classes if name.strip()]
    unknown = [name for name in chosen if name.lower() not in known and name.lower() != "background"]
    if unknown:
        raise UsageError(f"no class {', '.join(unknown)} there; it has {', '.join(collection.classes)}")
    if person:
        names = [name.lower() for name in chosen or collection.person]
        if not names:
            raise UsageError("this data set knows no person; say which classes are one with --classes, or leave out --person")
        table = np.zeros(256, np.uint8)
        table[[known[name] for name in names if name in known]] = 255
        return Choice(table, ("background", "person"), person=True)
    if not chosen:
        table = np.full(256, IGNORE, np.uint8)
        table[: len(collection.classes)] = np.arange(len(collection.classes))
        return Choice(table, collection.classes, person=False)
    names = [name.lower() for name in chosen]
    if len(set(names)) < len(names):
        raise UsageError(f"--classes names a class twice: {', '.join(chosen)}")
    table = np.full(256, IGNORE, np.uint8)
    if "background" in names:
        table[: len(collection.classes)] = names.index("background")
    for i, name in enumerate(names):
        if name in known:
            table[known[name]] = i
    return Choice(table, chosen, person=False)


def import_data(
    collection: Collection,
    out: Path,
    classes: Sequence[str] = (),
    person: bool = False,
    longest: int | None = None,
    limit: int | None = None,
    on_item: Callable[[], None] = lambda: None,
) -> Report:
    """Write the pairs of `collection` to the folder `out`. What cannot be used is counted and named.

    longest  pictures are shrunk to this many pixels at their longer side
    limit    only the first so many pictures

    Files appear whole; pairs that are there already stay, so that a run that was stopped goes on where it was. DataError
    where `out` holds other classes.
    """
    choice = choose(collection, classes, person)
    truth = out / ("masks" if person else "labels")
    _prepare(out, truth, choice, collection)
    report = Report()
    left = _left_out(collection, choice)
    rows = _manifest(out)
    seen: set[str] = set()
    for item in collection.items[:limit]:
        on_item()
        label = truth / f"{item.stem}.png"
        try:
            if item.stem in seen:
                raise ItemError("names that come twice", f"{item.stem}")
            seen.add(item.stem)
            picture = next((p for s in sorted(PICTURES) if (p := out / "images" / f"{item.stem}{s}").is_file()), None)
            if picture and label.is_file():
                report.already_there += 1
                rows[picture.name] = _row(picture, item)
                continue
            sample = item.load()
            picture = _write(sample, choice.table, out / "images" / item.stem, label, longest)
            rows[picture.name] = _row(picture, item)
            report.written += 1
            for name in {*sample.unknown, *(left[i] for i in np.unique(sample.ids) if i in left)}:
                report.left_out[name] += 1
        except DataError as error:
            reason = error.reason if isinstance(error, ItemError) else "unreadable pictures"
            report.skipped.setdefault(reason, []).append(str(error))
    write_whole(out / "manifest.csv", _table(["file", "source", "width", "height"], [rows[name] for name in sorted(rows)]))
    return report


def _prepare(out: Path, truth: Path, choice: Choice, collection: Collection) -> None:
    """Folders and classes.csv, before anything else: pairs of other classes must not come together."""
    other = out / ("labels" if choice.person else "masks")
    if other.is_dir():
        raise DataError(f"{out} holds {other.name}/ already; choose another folder, or import what it holds")
    make_folder(out / "images")
    make_folder(truth)
    if choice.person:
        return
    colours = dict(zip(collection.classes, collection.colours, strict=False))
    table = _table(["id", "name", "colour"], [[i, name, colours.get(name, "")] for i, name in enumerate(choice.names)])
    path = out / "classes.csv"
    if path.is_file() and path.read_bytes() != table:
        raise DataError(f"{path} names other classes than this import would; choose another folder")
    write_whole(path, table)


def _left_out(collection: Collection, choice: Choice) -> dict[int, str]:
    """Classes by id that --classes does not name."""
    kept = {name.lower() for name in choice.names}
    return {} if choice.person else {i: name for i, name in enumerate(collection.classes) if name.lower() not in kept}


def _write(sample: Sample, table: Ids, picture: Path, label: Path, longest: int | None) -> Path:
    """Write a pair, the truth last: a pair with truth is whole. Gives the path of the picture with its suffix."""
    taken = sample.picture if isinstance(sample.picture, Path) else None
    frame: Frame = read_frame(taken) if taken else sample.picture  # type: ignore[assignment]
    height, width = frame.shape[:2]
    if sample.ids.shape != (height, width):
        message = f"{taken or picture.name} is {height}x{width}, its truth {sample.ids.shape[0]}x{sample.ids.shape[1]}"
        raise ItemError("sizes that differ", message)
    ids = table[sample.ids]
    lossy = taken is not None and taken.suffix.lower() in (".jpg", ".jpeg")
    if longest and max(height, width) > longest:
        size = tuple(max(1, round(length * longest / max(height, width))) for length in (width, height))
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
        ids = np.asarray(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
        taken = None
    target = picture.with_name(picture.name + (taken.suffix.lower() if taken else ".jpg" if lossy else ".png"))
    write_whole(target, read_bytes(taken) if taken else _encode(frame, target.suffix))
    write_whole(label, _encode(ids, ".png"))
    return target


def _encode(array: Frame | Ids, suffix: str) -> bytes:
    done, data = cv2.imencode(suffix, array, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == ".jpg" else [])
    assert done, suffix
    return data.tobytes()


def _row(picture: Path, item: Item) -> list[object]:
    height, width = read_size(picture)
    return [picture.name, item.source, width, height]


def _manifest(out: Path) -> dict[str, list[object]]:
    """Rows of earlier imports into this folder, by file."""
    path = out / "manifest.csv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return {
            row["file"]: [row.get(name) for name in ("file", "source", "width", "height")] for row in rows if row.get("file")
        }


def _table(head: list[str], rows: list[list[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue().encode()
