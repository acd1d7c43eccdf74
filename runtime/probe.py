"""Which backend and how many threads are fastest for a model on this machine: a short measurement, kept for the next time.

More threads make most small networks slower on few cores, so this is measured rather than guessed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgeseg.errors import EdgesegError, OutputError
from edgeseg.runtime.backends import BackendName
from edgeseg.runtime.session import Session, open_session
from edgeseg.whole import cache_folder, write_whole

VERSION = 1  # to be raised whenever the same machine would be measured otherwise
ROUNDS, RUNS = 3, 4  # in turn, so that a moment in which the machine is busy falls on all
LEAST_GAIN = 0.85  # twice the threads must take less than this of the time, for what else runs needs cores too
PACKAGES = ("ai-edge-litert", "tflite-runtime", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Choice:
    """What is fastest: median time of one inference with what comes before and after it."""

    backend: BackendName
    threads: int
    latency_ms: float


def choose(model: str | Path, backend: BackendName = "auto", say: Callable[[str], None] = lambda _: None) -> Choice:
    """The fastest way to run `model`: as it was measured before, or measured now, which takes a second or two.

    backend  that must be used, or "auto" for any that is installed

    Raises what `open_session` raises where none can run it.
    """
    path = cache_folder("probe") / f"{_key(str(model), backend)}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Choice(**json.loads(path.read_text()))
    best = fastest(measure(model, backend))
    say(f"fastest here: {best.backend}, {best.threads} thread{'s' * (best.threads > 1)} ({best.latency_ms:.1f} ms)")
    with contextlib.suppress(OutputError):  # a cache is no reason to fail
        write_whole(path, json.dumps(asdict(best)).encode())
    return best


def measure(model: str | Path, backend: BackendName = "auto") -> list[Choice]:
    """Every backend that runs `model` here, with 1, 2, 4 ... threads up to the number of cores."""
    names: tuple[BackendName, ...] = ("litert", "ort") if backend == "auto" else (backend,)
    sessions: dict[tuple[BackendName, int], Session] = {}
    failure: EdgesegError | None = None
    for name in names:
        for threads in thread_counts(os.cpu_count() or 1):
            try:
                sessions[name, threads] = open_session(model, backend=name, threads=threads)
            except EdgesegError as error:
                failure = failure or error
                break
    if not sessions:
        assert failure is not None
        raise failure
    frame = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    times_ms: dict[tuple[BackendName, int], list[float]] = {key: [] for key in sessions}
    for _ in range(ROUNDS):
        for key, session in sessions.items():
            session.run(session.prepare(frame))  # untimed: the others have emptied the cache
            for _ in range(RUNS):
                start = time.perf_counter()
                session.run(session.prepare(frame))
                times_ms[key].append(1e3 * (time.perf_counter() - start))
    return [Choice(name, threads, round(float(np.median(times)), 3)) for (name, threads), times in times_ms.items()]


def fastest(choices: list[Choice]) -> Choice:
    """The fastest, where another thread counts only if it saves a good part of the time."""

    def cost(choice: Choice) -> float:
        return choice.latency_ms / math.pow(LEAST_GAIN, math.log2(choice.threads))

    return min(choices, key=cost)


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4 ... up to the number of cores, and no more than 4: no network of this size gains from more."""
    return [n for n in (1, 2, 4) if n <= max(1, cores)]


def _key(model: str, backend: str) -> str:
    path = Path(model)
    about = [VERSION, model, backend, platform.machine(), platform.processor(), _processor(), os.cpu_count()]
    with contextlib.suppress(OSError):
        about += [path.stat().st_size, path.stat().st_mtime_ns]
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            about.append(f"{name} {importlib.metadata.version(name)}")
    return hashlib.sha256(repr(about).encode()).hexdigest()[:32]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model", "Hardware")):
                return line.partition(":")[2].strip()
    return ""
