"""Where frames come from. Every source is a context manager that yields `Shot`s: BGR frames with their times.

with open_source("clip.mp4") as source:
    for frame, time_s, name in source:
        ...
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

import cv2
import numpy as np

from edgeseg.errors import DataError, ShapeError
from edgeseg.runtime.arrays import Frame, Shot
from edgeseg.runtime.picture import read_picture


class Source(Protocol):
    """Opens in `__enter__` and not before; may be iterated once. DataError where it cannot be opened or read."""

    @property
    def still(self) -> bool:
        """Whether its pictures have nothing to do with each other: nothing may be carried from one to the next."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) of the first frame; only the pictures of a folder may differ in size."""

    @property
    def fps(self) -> float:
        """Frames a second as the source states it; 0 where frames have no rate."""

    @property
    def frames(self) -> int | None:
        """How many there will be (a container's own claim may be off by a few); None without an end."""

    @property
    def dropped(self) -> int:
        """Frames that were captured but never yielded, since newer ones had come."""

    @property
    def path(self) -> Path | None:
        """Of the file or folder."""

    def __enter__(self) -> Source: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
    def __iter__(self) -> Iterator[Shot]: ...


def open_source(origin: str | Path | int) -> Source:
    """A source for `origin`: a number (webcam), the address of a stream (rtsp://, http://, ...), a picture, a folder of
    pictures, or a video file, told by its content. Other cameras are opened by `cameras.open_camera`."""
    from edgeseg.runtime.capture.camera import Webcam
    from edgeseg.runtime.capture.stream import Stream, is_stream
    from edgeseg.runtime.capture.video_file import VideoFile

    if isinstance(origin, int):
        return Webcam(origin)
    if is_stream(str(origin)):
        return Stream(str(origin))
    path = Path(origin)
    if path.is_dir():
        return Pictures(list_pictures(path), path)
    if not path.exists():
        raise DataError(f"input {path} does not exist; give a picture, a folder of pictures or a video")
    if is_picture(path):
        return Pictures([path], path)
    return VideoFile(path)


class Pictures:
    """Pictures from files, one after another, in the given order. See `Source`."""

    still = True
    fps = 0.0
    dropped = 0

    def __init__(self, paths: list[Path], path: Path | None = None) -> None:
        self.path = path
        self.frames: int | None = len(paths)
        self.size_hw = (0, 0)
        self._paths = paths
        self._first: Frame | None = None

    def __enter__(self) -> Pictures:
        self._first = read_picture(self._paths[0])
        self.size_hw = (self._first.shape[0], self._first.shape[1])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._first = None

    def __iter__(self) -> Iterator[Shot]:
        for index, path in enumerate(self._paths):
            frame = self._first if index == 0 and self._first is not None else read_picture(path)
            self._first = None
            yield Shot(frame, float(index), path.stem)


def is_picture(path: Path) -> bool:
    """Whether OpenCV reads this file as a picture, by its first bytes."""
    try:
        return os.access(path, os.R_OK) and bool(cv2.haveImageReader(str(path)))
    except cv2.error:
        return False


def list_pictures(folder: Path) -> list[Path]:
    """The pictures directly inside `folder`, 2 before 10; DataError where there are none or it cannot be read."""
    try:
        files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    except OSError as error:
        raise DataError(f"folder {folder} cannot be read: {error.strerror}") from None
    pictures = [p for p in files if is_picture(p)]
    if not pictures:
        raise DataError(f"folder {folder} holds no pictures ({len(files)} other files); give a folder of PNG or JPEG files")
    return sorted(pictures, key=lambda p: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", p.name)])


def check_frame(frame: Frame) -> None:
    """ShapeError where `frame` is no (h, w, 3) uint8 array."""
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
        raise ShapeError(f"a frame must be (h, w, 3) uint8 BGR, got {frame.shape} {frame.dtype}")
