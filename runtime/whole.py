"""Files appear whole or not at all: written under another name in the same folder, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2

from edgeseg.errors import OutputError
from edgeseg.runtime.arrays import Alpha, Frame


def part_of(path: Path) -> Path:
    """The name under which `path` is written until it is whole; its suffix stays, since encoders go by it."""
    return path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields the name to write to; renamed to `path` at the end, or removed where the body raises.

    OutputError where the folder cannot be written, or the body raises OSError.
    """
    part = part_of(path)
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def cannot_write(path: Path, error: Exception) -> OutputError:
    return OutputError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}; choose another with --output")


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, and see that files can be put there; OutputError where not."""
    probe = folder / f".edgeseg.part{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"folder {folder} cannot be written: {error.strerror or error}; choose another with --output"
        ) from None


def write_picture(path: Path, picture: Frame | Alpha) -> None:
    """Write a picture in the format of the path's suffix; OutputError where that is unknown or the file cannot be written."""
    try:
        good, data = cv2.imencode(path.suffix, picture)
    except cv2.error:
        good = False
    if not good:
        raise OutputError(
            f"{path}: a picture of {picture.shape[0]}x{picture.shape[1]} cannot be written as {path.suffix!r}; use .png"
        )
    with written_whole(path) as part:
        part.write_bytes(data.tobytes())
