"""Work that is the same on every day: what a run of it takes says in which state the machine is.

A report measures it beside each file, in the same rounds. Another report of the same machine is compared by how many times as
long as this each file takes, so that a processor that is clocked lower, or shared, does not look like a slower file.

It is made as long as the file's own inference: what is shorter than a scheduler's time slice is hardly ever interrupted, what
is longer always, and both must suffer alike.

Best is another network in the same runtime. Of 12 reports of the default model's ONNX file, made on two hardware threads whose
neighbours came and went, pairs differed by 5.3 % (root of the mean square) as multiples of arithmetic and by 2.6 % as
multiples of `NETWORK`; those of its TFLite file by 2.2 % and 1.6 %. But a runtime that has itself become slower would not be
found out so: where versions differ arithmetic counts, in the caches and with memory that is streamed through, like inference.

No library with threads of its own has a part in it: after a matrix product OpenBLAS's second thread waits by spinning, and was
as busy beside the files as the files were.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Elements of two float32 arrays, and sweeps over them in a unit of work. Each of the three takes about a third of it.
NEAR = (2048, 40)  # in the first-level cache
MIDDLE = (16384, 20)  # 64 KiB each: more than that holds, less than second-level caches
FAR = (1 << 20, 1)  # 4 MiB each: more than those hold
WORK = 2  # raised when the unit changes: reports of another one cannot be compared
LONGEST_MS = 20.0
NETWORK = "person-small"  # a model that ships
TRIES = 5


@dataclass(frozen=True)
class Reference:
    """`repeats` units of work: of arithmetic on vectors of three lengths, on one thread, or of inference."""

    repeats: int
    unit: Callable[[], object]

    def __call__(self) -> None:
        for _ in range(self.repeats):
            self.unit()


def reference_like(subject: Callable[[], object], unit: Callable[[], object] | None = None) -> Reference:
    """A reference that takes about as long as `subject`, `LONGEST_MS` at most: of arithmetic, or of any other `unit`."""
    unit = unit or _unit()
    wanted = min(_quickest_ms(subject), LONGEST_MS)
    return Reference(max(1, round(wanted / _quickest_ms(unit))), unit)


def _unit() -> Callable[[], object]:
    random = np.random.default_rng(0)
    near, middle, far = (random.random(elements, np.float32) for elements, _ in (NEAR, MIDDLE, FAR))
    near_out, middle_out, far_out = (np.empty_like(vector) for vector in (near, middle, far))

    def unit() -> None:
        for _ in range(NEAR[1]):
            np.exp(near, out=near_out)
        for _ in range(MIDDLE[1]):
            np.multiply(middle, 1.0001, out=middle_out)
            np.add(middle_out, 0.5, out=middle_out)
        for _ in range(FAR[1]):
            np.multiply(far, 1.0001, out=far_out)

    return unit


def _quickest_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(TRIES):
        start = time.perf_counter_ns()
        work()
        times.append((time.perf_counter_ns() - start) / 1e6)
    return max(min(times), 1e-3)
