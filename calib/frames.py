"""Which pictures the ranges are measured on, and which ones prove the result.

A few dozen pictures that resemble what the camera will see are enough, if they are drawn from every source of a folder in
equal numbers and not from the first alone. The proof runs on other pictures than the measurement wherever there are enough.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.errors import DataError
from edgeseg.train.pictures import read_frame, read_plane

Frame = npt.NDArray[np.uint8]  # (h, w, 3) BGR

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# Of 1, 8, 16, 32, 64, 128 and 200 pictures, the error fell up to 32 and no further, for either shipped network; 24 of
# 64 are kept apart to choose the observer (`edgeseg.calib.calibrate`).
CALIBRATION, PARITY = 64, 64
SOURCE_COLUMNS = ("source", "source_repo", "subset")  # of manifest.csv, any of them
VOID = 255


@dataclass(frozen=True)
class Picture:
    """A frame, and its true classes where the folder has them."""

    name: str
    frame: Frame
    truth: npt.NDArray[np.uint8] | None = None  # (h, w) class ids, 255 is void


@dataclass(frozen=True)
class Pictures:
    """Where pictures come from: `calibration` measures ranges, `parity` proves the exported file."""

    calibration: list[Picture]
    parity: list[Picture]
    note: str = ""  # what a reader of the result should know


def from_folder(folder: Path, calibration: int = CALIBRATION, parity: int = PARITY) -> Pictures:
    """Pictures of a plain folder, or of a data folder with images/ and perhaps masks/ or labels/.

    Raises DataError where the folder does not exist, holds no pictures, or one of those drawn cannot be read or is too large.
    """
    if not folder.is_dir():
        raise DataError(f"picture folder {folder} does not exist; give an existing folder with --calib")
    images = folder / "images" if (folder / "images").is_dir() else folder
    paths = sorted(p for p in images.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"{images} has no pictures ({', '.join(SUFFIXES)}); give another folder with --calib")
    groups = _by_source(folder, images, paths)
    if len(paths) < 2 * parity:  # too few to divide
        drawn = spread(groups, calibration)
        return Pictures([_read(folder, p) for p in drawn], [_read(folder, p) for p in spread(groups, parity)])
    proof = spread(groups, parity)
    rest = [[p for p in group if p not in set(proof)] for group in groups]
    return Pictures([_read(folder, p) for p in spread(rest, calibration)], [_read(folder, p) for p in proof])


def spread(groups: list[list[Path]], count: int) -> list[Path]:
    """Up to `count` paths, as equal a number from each group as there are, evenly spaced inside it."""
    left = [group for group in groups if group]
    drawn: list[Path] = []
    # The smallest first: what a small group cannot give is shared among those behind it.
    for i, group in enumerate(sorted(left, key=len)):
        share = min(len(group), -(-(count - len(drawn)) // (len(left) - i)))
        drawn += [group[int((k + 0.5) * len(group) / share)] for k in range(share)]
    return sorted(drawn)


def _by_source(folder: Path, images: Path, paths: list[Path]) -> list[list[Path]]:
    """Paths grouped by what manifest.csv says of them, or by their sub-folder."""
    keys = {path: str(path.parent) for path in paths}
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = {Path(row["file"]).name: row for row in csv.DictReader(file) if row.get("file")}
        for path in paths:
            row = rows.get(path.name, {})
            keys[path] += "|".join(row.get(column) or "" for column in SOURCE_COLUMNS)
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(keys[path], []).append(path)
    return list(groups.values())


def _read(folder: Path, path: Path) -> Picture:
    frame = read_frame(path)
    for kind in ("masks", "labels"):
        target = folder / kind / f"{path.stem}.png"
        if target.is_file():
            plane = read_plane(target)
            return Picture(path.stem, frame, (plane > 127).astype(np.uint8) if kind == "masks" else plane)
    return Picture(path.stem, frame)


def from_sample(calibration: int = CALIBRATION, parity: int = PARITY) -> Pictures:
    """Variations of one public-domain portrait that matplotlib brings, for want of anything better.

    Raises DataError where matplotlib is not installed.
    """
    try:
        from matplotlib.cbook import get_sample_data

        data = np.fromfile(str(get_sample_data("grace_hopper.jpg", asfileobj=False)), np.uint8)
    except (ImportError, OSError):
        raise DataError(
            "int8 needs pictures to measure ranges on, and there are none; name a folder with --calib DIR, or install "
            "matplotlib for its sample photograph: pip install 'edgeseg[export]'"
        ) from None
    portrait = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if portrait is None:
        raise DataError("matplotlib's sample photograph cannot be read; name a folder of pictures with --calib DIR")
    random = np.random.default_rng(0)
    made = [Picture(f"sample-{i}", vary(portrait.astype(np.uint8, copy=False), random)) for i in range(calibration + parity)]
    note = "measured on variations of a single photograph; pictures like your camera's are better: --calib DIR"
    return Pictures(made[:calibration], made[calibration:], note)


def vary(frame: Frame, random: np.random.Generator) -> Frame:
    """Another picture of the same person: cropped, mirrored, moved into another room, lit differently. (h, w, 3)"""
    height, width = frame.shape[:2]
    if random.random() < 0.5:
        frame = frame[:, ::-1]
    share = random.uniform(0.5, 1.0)
    h, w = int(height * share), int(width * share)
    top, left = random.integers(0, height - h + 1), random.integers(0, width - w + 1)
    if random.random() < 0.7:
        frame = frame[top : top + h, left : left + w]
    if random.random() < 0.5:
        frame = _in_a_room(frame, random)
    gain, offset = random.uniform(0.4, 1.4), random.uniform(-30, 40)
    noise = random.normal(0, random.uniform(0, 8), frame.shape)
    return np.clip(frame * gain * random.uniform(0.85, 1.15, 3) + offset + noise, 0, 255).astype(np.uint8)


def _in_a_room(frame: Frame, random: np.random.Generator) -> Frame:
    """The picture, smaller, on a landscape canvas of smooth colours."""
    height, width = frame.shape[:2]
    coarse = random.uniform(0, 255, (random.integers(2, 6), random.integers(2, 9), 3)).astype(np.float32)
    canvas = cv2.resize(coarse, (int(height * 16 / 9), height), interpolation=cv2.INTER_CUBIC)
    share = min(random.uniform(0.5, 1.0), canvas.shape[1] / width)
    small = cv2.resize(frame, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    top = height - small.shape[0]
    left = random.integers(0, canvas.shape[1] - small.shape[1] + 1)
    canvas[top:, left : left + small.shape[1]] = small
    return np.clip(canvas, 0, 255).astype(np.uint8)
