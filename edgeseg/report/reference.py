"""Work that is the same on every day: what a run of it takes says in which state the machine is.

A report measures it beside each file, in the same rounds. Another report of the same machine is compared by how many times as
long as this each file takes, so that a processor that is clocked lower, or shared, does not look like a slower file.

It is made as long as the file's own inference: what is shorter than a scheduler's time slice is hardly ever interrupted, what
is longer always, and both must suffer alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

ELEMENTS = 16384  # two float32 arrays of 64 KiB each: more than first-level caches hold, less than second-level ones
SWEEPS = 20
SIDE = 160  # of the matrices
LONGEST_MS = 20.0
TRIES = 5


@dataclass(frozen=True)
class Reference:
    """`repeats` units of work: elementwise arithmetic on vectors and one matrix product, on one thread."""

    repeats: int
    unit: Callable[[], object]

    def __call__(self) -> None:
        for _ in range(self.repeats):
            self.unit()


def reference_like(subject: Callable[[], object]) -> Reference:
    """A reference that takes about as long as `subject`, `LONGEST_MS` at most."""
    unit = _unit()
    wanted = min(_quickest_ms(subject), LONGEST_MS)
    return Reference(max(1, round(wanted / _quickest_ms(unit))), unit)


def _unit() -> Callable[[], object]:
    random = np.random.default_rng(0)
    vector, matrix = random.random(ELEMENTS, np.float32), random.random((SIDE, SIDE), np.float32)
    out, nothing = np.empty_like(vector), np.zeros_like(matrix)

    def unit() -> None:
        for _ in range(SWEEPS):
            np.multiply(vector, 1.0001, out=out)
            np.add(out, 0.5, out=out)
        cv2.gemm(matrix, matrix, 1.0, nothing, 0.0)  # one thread, whatever OpenCV is told

    return unit


def _quickest_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(TRIES):
        start = time.perf_counter_ns()
        work()
        times.append((time.perf_counter_ns() - start) / 1e6)
    return max(min(times), 1e-3)
