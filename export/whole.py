"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edgeseg.errors import OutputError


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A free path in the folder of `path`, with its suffix; what is still there at the end is removed.

    Whoever is content with what they wrote there calls `publish`. OutputError where the folder cannot be made or written,
    before any work has been spent on the content.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise OutputError(f"cannot write to {path.parent}: {error.strerror}; name another folder with -o") from None
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path) -> None:
    """Give the finished file its name, in one step. OutputError where something is in the way."""
    try:
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`; at no time is there a part of it."""
    with temporary_beside(path) as temporary:
        try:
            temporary.write_bytes(data)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from None
        publish(temporary, path)
