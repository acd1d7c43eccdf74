"""Killed at any moment, a training goes on to the very result of one that was left alone."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeseg.errors import ModelError
from tests.train.tiny import learn

ROOT = Path(__file__).parent.parent.parent
EPOCHS = 6


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("straight")
    learn(out, epochs=EPOCHS)
    return out


def start(out: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.train.tiny", str(out), *options]
    return subprocess.Popen(command, cwd=ROOT, text=True, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})


def rows(out: Path) -> list[dict[str, str]]:
    """Of the log, without the clock."""
    with (out / "log.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def check(out: Path, straight: Path) -> None:
    assert (out / "last.safetensors").read_bytes() == (straight / "last.safetensors").read_bytes()
    mine, its = (torch.load(folder / "state.pt", weights_only=True) for folder in (out, straight))
    for key in ("network", "average", "steps", "optimizer"):
        assert same(mine[key], its[key]), key
    assert rows(out) == rows(straight)
    assert [row["epoch"] for row in rows(out)] == [str(i + 1) for i in range(EPOCHS)]
    assert {path.name for path in out.iterdir()} == {"last.safetensors", "state.pt", "log.csv"}  # nothing is left of the killed


# Two files (state, log) come first, then two an epoch, and a checkpoint before those of every other one.
KILLED = [(3, 0), (5, 1), (7, 2)]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_while_a_file_is_written(straight: Path, tmp_path: Path) -> None:
    """`done` epochs are kept when the process dies before its `count`th file has its name: the first epoch's state, the first
    checkpoint, the log of the second epoch.
    """
    ended = [start(tmp_path / str(count), "--kill", str(count)) for count, _ in KILLED]
    told = [process.communicate(timeout=300)[1] for process in ended]
    assert [process.returncode for process in ended] == [-signal.SIGKILL] * 3, told
    for count, done in KILLED:
        out = tmp_path / str(count)
        assert any(path.name.startswith(".") for path in out.iterdir()), "it was killed in the middle of writing"
        assert learn(out, epochs=EPOCHS, resume=True)[0] == f"resuming after epoch {done}"
        check(out, straight)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_in_the_middle_of_an_epoch(straight: Path, tmp_path: Path) -> None:
    """At a moment that nobody chose."""
    process = start(tmp_path, "--epochs", str(EPOCHS))
    while process.poll() is None and not (tmp_path / "last.safetensors").is_file():
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.1))
    process.kill()
    process.communicate(timeout=300)
    learn(tmp_path, epochs=EPOCHS, resume=True)
    check(tmp_path, straight)


def test_a_finished_training_is_not_changed_by_resuming(straight: Path) -> None:
    before = (straight / "last.safetensors").read_bytes()
    assert learn(straight, epochs=EPOCHS, resume=True) == [f"resuming after epoch {EPOCHS}"]
    assert (straight / "last.safetensors").read_bytes() == before
    assert len(rows(straight)) == EPOCHS


def test_beginning_anew_keeps_the_state_of_before(straight: Path, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes((straight / "state.pt").read_bytes())
    assert learn(tmp_path, epochs=1)[0] == f"{tmp_path / 'state.pt'} of a training before this one is kept as state.before.pt"
    assert (tmp_path / "state.before.pt").read_bytes() == (straight / "state.pt").read_bytes()
    assert len(rows(tmp_path)) == 1


BROKEN = [
    ("cut off", lambda data: data[: len(data) // 2], "state.pt cannot be read"),
    ("empty", lambda data: b"", "state.pt cannot be read"),
    ("text", lambda data: b"no state", "state.pt cannot be read"),
]


@pytest.mark.parametrize(("change", "needle"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_state_is_said_in_a_line(straight: Path, tmp_path: Path, change: Any, needle: str) -> None:
    (tmp_path / "state.pt").write_bytes(change((straight / "state.pt").read_bytes()))
    with pytest.raises(ModelError, match=needle) as error:
        learn(tmp_path, resume=True)
    assert "\n" not in str(error.value)
    assert "leave out --resume" in str(error.value)


def test_a_state_of_another_training_is_said(straight: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"state.pt belongs to a training with architecture tiny, not plain; give the same"):
        learn(straight, network="plain", resume=True)
    torch.save({"places": {}}, tmp_path / "state.pt")
    with pytest.raises(ModelError, match="is not a state of this kind of training"):
        learn(tmp_path, resume=True)
    state = torch.load(straight / "state.pt", weights_only=True)
    state["network"].popitem()
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(ModelError, match="does not fit this network"):
        learn(tmp_path, resume=True)


def test_other_settings_are_named(straight: Path, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes((straight / "state.pt").read_bytes())
    (tmp_path / "log.csv").write_text("lost")  # the state has the log as well
    lines = learn(tmp_path, epochs=EPOCHS + 1, batch=2, resume=True)
    assert lines[0] == f"resuming after epoch {EPOCHS}, with other epochs, batch than before"
    assert lines[1].startswith(f"epoch {EPOCHS + 1} ")
    assert rows(tmp_path)[:EPOCHS] == rows(straight)
