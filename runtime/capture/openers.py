"""Which programs have a device open, as far as /proc shows it to us: all of our own user's, and everybody's to root."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def who_opens(device: Path, proc: Path = Path("/proc")) -> list[str]:
    """`name (process N)` of every other program that has `device` open."""
    return [f"{_name(proc / str(pid))} (process {pid})" for pid in open_counts(device, proc) if pid != os.getpid()]


def open_counts(device: Path, proc: Path = Path("/proc")) -> dict[int, int]:
    """Process id -> how many times it has `device` open."""
    counts: dict[int, int] = {}
    try:
        wanted = os.stat(device)
    except OSError:
        return counts
    for folder in proc.iterdir() if proc.is_dir() else ():
        if not folder.name.isdecimal():
            continue
        with suppress(OSError):  # it has ended, or belongs to somebody else
            for entry in os.scandir(folder / "fd"):
                with suppress(OSError):
                    there = os.stat(entry.path)
                    same = there.st_rdev == wanted.st_rdev if wanted.st_rdev else os.path.samestat(there, wanted)
                    if same:
                        counts[int(folder.name)] = counts.get(int(folder.name), 0) + 1
    return counts


def _name(folder: Path) -> str:
    with suppress(OSError):
        return (folder / "comm").read_text().strip()
    return "a program"
