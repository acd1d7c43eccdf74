"""Several processes that train one network, started as users start them: by torchrun, on processors."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from edgeseg.errors import UsageError
from edgeseg.models import MODELS
from edgeseg.models.checkpoint import load_checkpoint
from edgeseg.train.distributed import Processes, processes
from tests.train.tiny import NETWORKS, learn

ROOT = Path(__file__).parent.parent.parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [*TORCHRUN, "-m", *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


def losses(out: Path) -> list[float]:
    with (out / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same batches, on a network without batch norm, but for rounding."""
    process = start("tests.train.tiny", str(tmp_path / "two"), "--network", "plain")
    learn(tmp_path / "one", network="plain")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-3)
    monkeypatch.setitem(MODELS, "plain", NETWORKS["plain"])
    one, two = (load_checkpoint(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    for a, b in zip(one.network.state_dict().values(), two.network.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert one.card.accuracy == pytest.approx(two.card.accuracy, abs=2e-3)
    assert {path.name for path in (tmp_path / "two").iterdir()} == {"last.safetensors", "state.pt", "log.csv"}


def workers(launcher: int) -> list[int]:
    """Process ids of the children, by rank."""
    children = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                fields = (path / "stat").read_text().rsplit(")", 1)[1].split()
                environment = (path / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            rank = next((int(e[5:]) for e in environment if e.startswith(b"RANK=")), None)
            if int(fields[1]) == launcher and rank is not None:
                children.append((rank, int(path.name)))
    return [pid for _, pid in sorted(children)]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="finds the processes in /proc")
def test_killing_one_ends_all_with_one_line(tmp_path: Path) -> None:
    process = start("tests.train.tiny", str(tmp_path), "--epochs", "2000")
    while process.poll() is None and not (tmp_path / "last.safetensors").is_file():
        time.sleep(0.02)
    pids = workers(process.pid)
    assert len(pids) == 2
    os.kill(pids[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode != 0
    assert errors.count("a process of this training was ended; what is in the folder is whole") == 1, errors
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    epochs = len(losses(tmp_path))
    lines = learn(tmp_path, epochs=epochs + 1, resume=True)
    assert lines[0].startswith(f"resuming after epoch {epochs}") or lines[0].startswith(f"resuming after epoch {epochs + 1}")


def test_alone_nothing_is_exchanged() -> None:
    alone = Processes()
    assert (alone.same(3.5), alone.mean(2.5), alone.first) == (3.5, 2.5, True)
    network = torch.nn.Linear(2, 2)
    assert alone.together(alone.synchronised(network)) is network
    with alone.apart(network):
        assert network(torch.ones(1, 2)).requires_grad


def test_random_numbers_begin_anew_and_differ_by_rank() -> None:
    def drawn(rank: int, *numbers: int) -> list[float]:
        Processes(rank=rank, count=2).seed(*numbers)
        return torch.rand(3).tolist()

    assert drawn(0, 1, 2) == drawn(0, 1, 2)
    assert drawn(0, 1, 2) != drawn(1, 1, 2)
    assert drawn(0, 1, 2) != drawn(0, 1, 3)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    Processes(count=2).check_batch(8)
    with pytest.raises(UsageError, match="a batch of 9 cannot be shared evenly by 2 processes"):
        Processes(count=2).check_batch(9)


def test_without_torchrun_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with processes("cpu") as where:
        assert (where.count, where.rank, where.device.type) == (1, 0, "cpu")
