"""Recordings that end badly: what came before stays and plays."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import OutputError
from edgeseg.runtime import Shot, VideoSink, open_source
from edgeseg.runtime.sinks.fragments import trim_to_whole_fragments

SIZE = (120, 160)


@contextmanager
def full_after(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond `size_bytes`, as on a disk that is full. (Python ignores the signal and sees the error.)"""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def record(path: Path, frames: int, live: bool) -> None:
    """Noise, which takes some 13 kB a frame, with the frame's number in its mean."""
    random = np.random.default_rng(0)
    with VideoSink(path, SIZE, 5, live=live) as sink:
        for index in range(frames):
            sink.write(Shot(random.integers(20 + index, 100 + index, (*SIZE, 3), np.uint8), index / 5))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_full_disk_leaves_a_recording_that_plays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with full_after(500_000), pytest.raises(OutputError, match="is kept and plays") as caught:
        record(path, 100, live=True)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    shots = []
    with open_source(path) as source:
        for shot in source:
            shots.append(shot)
    assert len(shots) >= 10  # a fragment is ten frames here
    assert f"({shots[-1].time_s:.0f} s) is kept" in str(caught.value)
    assert [shot.time_s for shot in shots] == pytest.approx([i / 5 for i in range(len(shots))], abs=2e-3)
    assert [round(float(shot.frame.mean())) for shot in shots] == pytest.approx([60 + i for i in range(len(shots))], abs=3)


def test_a_full_disk_before_the_first_fragment_leaves_nothing(tmp_path: Path) -> None:
    with full_after(15_000), pytest.raises(OutputError, match="cannot be written: File too large"):
        record(tmp_path / "a.mp4", 30, live=True)
    assert list(tmp_path.iterdir()) == []


def test_of_a_conversion_that_cannot_be_finished_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("precious")
    with full_after(125_000), pytest.raises(OutputError, match="cannot be written: File too large"):
        record(path, 60, live=False)
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_a_recording_that_ends_well_is_as_any_other_file(tmp_path: Path) -> None:
    record(tmp_path / "a.mp4", 25, live=True)
    kinds = [kind for kind, _ in boxes((tmp_path / "a.mp4").read_bytes())]
    assert kinds.count(b"moov") == 1
    assert b"moof" not in kinds
    with open_source(tmp_path / "a.mp4") as source:
        assert source.frames == len(list(source)) == 25


def boxes(data: bytes) -> list[tuple[bytes, int]]:
    found, start = [], 0
    while start < len(data):
        length = int.from_bytes(data[start : start + 4], "big")
        if length == 1:
            length = int.from_bytes(data[start + 8 : start + 16], "big")
        found.append((data[start + 4 : start + 8], length))
        start += length
    return found


def box(kind: bytes, size: int) -> bytes:
    return size.to_bytes(4, "big") + kind + bytes(size - 8)


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"", 0),
        (box(b"ftyp", 20), 0),
        (box(b"ftyp", 20) + box(b"moov", 30) + box(b"mdat", 50), 100),
        (box(b"ftyp", 20) + box(b"moov", 30) + box(b"mdat", 50) + box(b"moof", 40), 100),  # samples announced that never came
        (box(b"ftyp", 20) + box(b"moov", 30) + box(b"mdat", 50) + box(b"moof", 40) + box(b"mdat", 60), 200),
        (box(b"ftyp", 20) + box(b"moov", 30) + box(b"mdat", 50) + box(b"moof", 40) + box(b"mdat", 60)[:59], 100),
        (box(b"ftyp", 20) + box(b"moov", 30) + b"\0\0\0\1mdat" + (66).to_bytes(8, "big") + bytes(50), 116),
        (box(b"ftyp", 20) + box(b"moov", 30) + box(b"mdat", 50) + bytes(30), 100),  # a hole
    ],
)
def test_fragments_that_are_whole_by_hand(tmp_path: Path, data: bytes, kept: int) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    assert trim_to_whole_fragments(path) == kept == path.stat().st_size
