"""A disk that is full while a checkpoint is written: one clear line, and what was there before stays."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeseg.errors import OutputError
from edgeseg.whole import write_whole
from tests.train.tiny import learn

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of a process")


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """Inside, no file of this process grows beyond `limit` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_may_not_grow_leaves_the_former_one(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.bin", b"former")
    with small_files(1000), pytest.raises(OutputError, match=r"a\.bin cannot be written: File too large; make room, or choose"):
        write_whole(tmp_path / "a.bin", bytes(5000))
    assert (tmp_path / "a.bin").read_bytes() == b"former"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_training_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    learn(tmp_path / "straight", epochs=4)
    out = tmp_path / "run"
    learn(out, epochs=2)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with small_files(1000), pytest.raises(OutputError, match="cannot be written"):
        learn(out, epochs=4, resume=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    learn(out, epochs=4, resume=True)
    log = [(folder / "log.csv").read_text().count("\n") for folder in (out, tmp_path / "straight")]
    assert log == [5, 5]


def fill(file: int) -> None:
    while True:
        os.write(file, bytes(512))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    out = small_disk / "run"
    learn(out, epochs=2)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    filler = os.open(small_disk / "filler", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space left"):
        fill(filler)
    os.close(filler)
    with pytest.raises(OutputError, match="cannot be written: No space left on device; make room, or choose another place"):
        learn(out, epochs=4, resume=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (small_disk / "filler").unlink()
    assert learn(out, epochs=4, resume=True)[0].startswith("resuming after epoch 2")
