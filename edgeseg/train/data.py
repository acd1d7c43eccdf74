"""Data folders: `images/` beside `masks/` (binary or soft, 8-bit) with the same stems. See `read_folder`."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import DataError
from edgeseg.train.pictures import Frame as Frame
from edgeseg.train.pictures import decode, read_bytes, read_frame

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Mask = NDArray[np.uint8]  # (h, w), 0 background .. 255 person


@dataclass(frozen=True)
class Pair:
    """A picture and its truth; `source` is where it comes from, for splits and figures by source."""

    image: Path
    mask: Path
    source: str


def read_folder(folder: Path) -> list[Pair]:
    """All pairs of a data folder, sorted by name.

    The source of a pair is its `source_repo` or `source` in an optional `manifest.csv` (column `file`), else the letters its
    stem begins with. DataError for a folder without pairs, and for pictures without masks, which are counted and named.
    """
    images, masks = folder / "images", folder / "masks"
    for part in (images, masks):
        if not part.is_dir():
            raise DataError(f"{folder} has no {part.name}/ folder; a data folder holds images/ and masks/ with the same stems")
    truth = {path.stem: path for path in pictures_in(masks)}
    pictures = pictures_in(images)
    if not pictures:
        raise DataError(f"{images} has no pictures ({', '.join(sorted(PICTURES))})")
    lonely = [path.name for path in pictures if path.stem not in truth]
    if lonely:
        raise DataError(f"{len(lonely)} of {len(pictures)} pictures in {images} have no mask; the first is {lonely[0]}")
    sources = read_sources(folder)
    return [Pair(path, truth[path.stem], sources.get(path.name) or read_prefix(path.stem)) for path in pictures]


def pictures_in(folder: Path) -> list[Path]:
    """Pictures of a folder by name, but hidden ones: a process that was killed leaves what it was writing as a hidden file."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and not path.name.startswith("."))


def without_picture(folder: Path) -> list[Path]:
    """Truth of a data folder, masks/ or labels/, that belongs to no picture."""
    stems = {path.stem for path in pictures_in(folder / "images")}
    truth = folder / "labels" if (folder / "labels").is_dir() else folder / "masks"
    return [path for path in pictures_in(truth) if path.stem not in stems]


def read_prefix(stem: str) -> str:
    """The letters a stem begins with, or "unnamed"."""
    match = re.match(r"[A-Za-z]+(?:[_-][A-Za-z]+)*", stem)
    return match.group() if match else "unnamed"


def read_sources(folder: Path) -> dict[str, str]:
    """File name -> source from manifest.csv (column `source_repo`, else `source`); empty where there is no such file."""
    path = folder / "manifest.csv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {
            Path(row["file"]).name: row.get("source_repo") or row.get("source") or ""
            for row in csv.DictReader(file)
            if row.get("file")
        }


def split(pairs: list[Pair], share: float = 0.1, gap: int = 3) -> tuple[list[Pair], list[Pair]]:
    """Training and validation pairs: of every source the last `share` in order of names is held back.

    Neighbouring names are often the same sitter or the same video, so that a random split would flatter; `gap`
    pictures at the border belong to neither.
    """
    by_source: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_source.setdefault(pair.source, []).append(pair)
    train: list[Pair] = []
    validation: list[Pair] = []
    for group in by_source.values():
        group.sort(key=lambda pair: _natural(pair.image.stem))
        held = round(len(group) * share)
        cut = len(group) - held
        train += group[: max(0, cut - gap)] if held else group
        validation += group[cut:]
    return train, validation


def _natural(stem: str) -> list[tuple[int, str | int]]:
    """Sort key under which frame_9 comes before frame_10."""
    return [(1, int(part)) if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", stem)]


def load(pair: Pair, longest: int | None = None) -> tuple[Frame, Mask]:
    """Picture and mask, shrunk so that the longer side is at most `longest`. DataError names what cannot be used."""
    frame: Frame = read_frame(pair.image)
    mask: Mask = np.asarray(decode(read_bytes(pair.mask), pair.mask, cv2.IMREAD_GRAYSCALE), np.uint8)
    if frame.shape[:2] != mask.shape:
        raise DataError(f"{pair.image} is {frame.shape[0]}x{frame.shape[1]}, its mask {mask.shape[0]}x{mask.shape[1]} pixels")
    height, width = mask.shape
    if longest and max(height, width) > longest:
        factor = longest / max(height, width)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        frame, mask = (np.asarray(cv2.resize(a, size, interpolation=cv2.INTER_AREA), np.uint8) for a in (frame, mask))
    return frame, mask


def load_all(items: Iterable[Item], load: Callable[[Item], Loaded]) -> list[Loaded]:
    """All of `items`, loaded; where some cannot be used, one DataError that counts them and names the first."""
    loaded, errors = list[Loaded](), list[DataError]()
    for item in items:
        try:
            loaded.append(load(item))
        except DataError as error:
            errors.append(error)
    if errors:
        more = f", and {len(errors) - 1} more, which edgeseg data check names" if len(errors) > 1 else ""
        raise DataError(f"{len(errors)} of {len(errors) + len(loaded)} pictures cannot be used: {errors[0]}{more}")
    return loaded
