"""Files appear whole or not at all: written under another name in the same folder, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeseg.errors import OutputError


def part_of(path: Path) -> Path:
    """The name under which `path` is written until it is whole; its suffix stays, since encoders go by it."""
    return path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")


def remove_parts(path: Path) -> None:
    """Remove what killed processes left of `path`. Nobody else may be writing it."""
    for part in path.parent.glob(f".{path.stem}.part*{path.suffix}"):
        with suppress(OSError):
            part.unlink()


def cannot_write(path: Path, error: Exception) -> OutputError:
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    cure = "make room, or choose another place with -o" if full else "choose another place with -o"
    return OutputError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}; {cure}")


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, and see that files can be put there, before work is spent; OutputError where not."""
    probe = folder / f".edgeseg.part{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise cannot_write(folder, error) from None


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


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`, making its folder; at no time is there a part of it."""
    make_folder(path.parent)
    with written_whole(path) as part:
        part.write_bytes(data)


def cache_folder(kind: str) -> Path:
    """Where results of a `kind` are kept for the next time: $EDGESEG_CACHE/kind, or ~/.cache/edgeseg/kind ($XDG_CACHE_HOME is
    heeded). It may not exist, and may not be writable."""
    moved = os.environ.get("EDGESEG_CACHE")
    if moved:
        return Path(moved) / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeseg" / kind
