"""A contact sheet: pictures with their truth drawn over them, drawn with OpenCV alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.errors import DataError, UsageError
from edgeseg.train.data import Frame
from edgeseg.train.readers.base import IGNORE, Ids
from edgeseg.train.readers.colours import voc_colours
from edgeseg.train.survey import ClassShare, DataFolder
from edgeseg.whole import write_whole

TILE = 240  # pixels of the longer side of a picture
GAP = 8
LINE = 18  # pixels of a line of text
COLUMNS = 6
PERSON_BGR = (60, 200, 60)
PAPER, INK, FAINT = 255, (30, 30, 30), (120, 120, 120)
FONT = cv2.FONT_HERSHEY_SIMPLEX

Palette = npt.NDArray[np.uint8]  # (256, 3) BGR


def palette(folder: DataFolder) -> Palette:
    """Colours by stored id: those of classes.csv, else the VOC colour map, whose background is black."""
    colours = np.ascontiguousarray(voc_colours()[:, ::-1])
    for i, (_, text) in (folder.classes or {}).items():
        if len(text) == 7 and text.startswith("#"):
            try:
                colours[i] = tuple(bytes.fromhex(text[1:]))[::-1]
            except ValueError:
                continue  # a colour that is none: the map's is as good
    if folder.masks:
        colours[1] = PERSON_BGR
    return colours


def overlay(frame: Frame, ids: Ids, colours: Palette, folder: DataFolder) -> Frame:
    """`frame` (h, w, 3) with classes as a tint, but for the background; ignored pixels are hatched, a person is outlined."""
    plain = [i for i, (name, _) in (folder.classes or {}).items() if name.lower() == "background"]
    strength = np.where(np.isin(ids, [*plain, IGNORE]), 0.0, 0.35 if folder.masks else 0.5)[..., None]
    drawn = (frame * (1 - strength) + colours[ids] * strength).round().astype(np.uint8)
    y, x = np.indices(ids.shape)
    drawn[(ids == IGNORE) & ((x + y) % 6 == 0)] = PAPER
    if folder.masks:  # class labels would have so many edges that thin objects vanish behind them
        edges = np.zeros(ids.shape, bool)
        edges[:, 1:] |= ids[:, 1:] != ids[:, :-1]
        edges[1:] |= ids[1:] != ids[:-1]
        drawn[edges] = PERSON_BGR
    return np.asarray(drawn, np.uint8)


def draw(folder: DataFolder, count: int, seed: int, rows: Sequence[ClassShare], note: str) -> Frame:
    """A sheet of `count` pairs drawn by `seed`, by name, with the classes below. DataError where none can be read."""
    stems = sorted(folder.pictures.keys() & folder.truth.keys())
    random.Random(seed).shuffle(stems)
    colours = palette(folder)
    tiles: dict[str, Frame] = {}
    for stem in stems:
        if len(tiles) == count:
            break
        try:
            frame, truth = folder.load(stem)
        except DataError:
            continue  # `edgeseg data check` says what is wrong with it
        tiles[stem] = _tile(frame, folder.ids(truth), colours, folder)
    if not tiles:
        raise DataError(f"{folder.path} has no pair that can be read; edgeseg data check says why")
    tallest = max(tile.shape[0] for tile in tiles.values())
    cells = [_caption(tiles[stem], tallest, stem, folder.source(stem)) for stem in sorted(tiles)]
    across = min(COLUMNS, len(cells))
    bands = [_band(cells[i : i + across], across) for i in range(0, len(cells), across)]
    width = max(bands[0].shape[1], 640)
    parts = [_text([(note, INK)], width), *bands, _legend(rows, colours, width)]
    return np.concatenate([_pad(part, part.shape[0], width) for part in parts])


def _tile(frame: Frame, ids: Ids, colours: Palette, folder: DataFolder) -> Frame:
    scale = TILE / max(ids.shape)
    size = max(1, round(ids.shape[1] * scale)), max(1, round(ids.shape[0] * scale))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    shown = cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST)
    return overlay(np.asarray(small, np.uint8), np.asarray(shown, np.uint8), colours, folder)


def _caption(tile: Frame, height: int, stem: str, source: str) -> Frame:
    text = _text([(_shorten(stem), INK), (_shorten(source), FAINT)], TILE)
    return np.concatenate([_pad(tile, height, TILE, centre=True), text])


def _band(cells: list[Frame], across: int) -> Frame:
    height = cells[0].shape[0]
    blank = np.full((height, TILE, 3), PAPER, np.uint8)
    gap = np.full((height, GAP, 3), PAPER, np.uint8)
    parts = [part for cell in [*cells, *[blank] * (across - len(cells))] for part in (gap, cell)]
    return np.concatenate([*parts, gap], axis=1)


def _legend(rows: Sequence[ClassShare], colours: Palette, width: int) -> Frame:
    """Names and shares in columns, each behind a square of its colour."""
    column = 210
    across = max(1, (width - GAP) // column)
    sheet = np.full((GAP + LINE * -(-len(rows) // across) + GAP, width, 3), PAPER, np.uint8)
    for n, row in enumerate(rows):
        x, y = GAP + n % across * column, GAP + n // across * LINE
        cv2.rectangle(sheet, (x, y), (x + 12, y + 12), colours[row.id].tolist(), cv2.FILLED)
        cv2.rectangle(sheet, (x, y), (x + 12, y + 12), FAINT, 1)
        cv2.putText(sheet, f"{row.name[:18]} {row.share:.2%}", (x + 18, y + 11), FONT, 0.42, INK, 1, cv2.LINE_AA)
    return sheet


def _text(lines: Sequence[tuple[str, tuple[int, int, int]]], width: int) -> Frame:
    sheet = np.full((LINE * len(lines) + 4, width, 3), PAPER, np.uint8)
    for i, (text, colour) in enumerate(lines):
        # OpenCV's font has no letters beyond ASCII.
        plain = text.encode("ascii", "replace").decode()
        cv2.putText(sheet, plain, (2, LINE * i + 14), FONT, 0.42, colour, 1, cv2.LINE_AA)
    return sheet


def _pad(part: Frame, height: int, width: int, centre: bool = False) -> Frame:
    sheet = np.full((height, width, 3), PAPER, np.uint8)
    y, x = ((height - part.shape[0]) // 2, (width - part.shape[1]) // 2) if centre else (0, 0)
    sheet[y : y + part.shape[0], x : x + part.shape[1]] = part
    return sheet


def _shorten(text: str, length: int = 32) -> str:
    return text if len(text) <= length else f"{text[: length - 15]}..{text[-13:]}"


def write_sheet(path: Path, sheet: Frame) -> None:
    """Write the sheet; UsageError for a suffix that is neither .jpg nor .png."""
    suffix = path.suffix.lower()
    if suffix not in (".jpg", ".jpeg", ".png"):
        raise UsageError(f"a sheet is a .jpg or .png file, got {path.name}")
    done, data = cv2.imencode(suffix, sheet, [cv2.IMWRITE_JPEG_QUALITY, 90] if suffix != ".png" else [])
    assert done, suffix
    write_whole(path, data.tobytes())
