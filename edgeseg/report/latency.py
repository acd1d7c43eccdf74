"""How long several model files take, measured so that the figures can be compared.

The files are measured in turn, in rounds (A B C A B C ...), so that a drift of the machine (heat, another process) touches
all alike; every second round goes backwards (A B C, C B A), so that no file always follows the same one. Every round gives
each file a block of runs, of which the first is not timed: it finds the caches full of another file's weights, and perhaps that
file's threads still spinning. Ratios are taken within rounds (`compare.py`).

Beside the time that passed, the processor time of the process is noted: on a machine that is shared, a run of one thread takes
the same processor time however often it was interrupted. With more threads it says nothing of latency.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

ROUND = 5  # runs of one file before the next file's turn
REFERENCE_RUNS = 3  # of the work that is the same every day, after each turn of a file
MIN_ROUNDS = 10
PATIENCE = 4  # times as long as asked for, where the machine is so busy that nothing is known after that
ASK_EVERY = 10  # rounds, then
# Times the time asked for that may go to a subject and what is beside it. A run of the latter takes a millisecond or so:
# beside a network of microseconds it would take minutes for each second of that network's own.
MOST_BESIDE = 5


@dataclass
class Timing:
    """Of one subject: `rounds[i]` are the milliseconds of its runs in round i. `error` ends its measurement.

    cpu        the same, of processor time
    starts_s   when each round began, in seconds from the beginning of the measurement
    reference  of the arithmetic that was measured after each of its turns, if any was (`reference.py`)
    network    of the network of its runtime that was, if one was
    """

    rounds: list[list[float]] = field(default_factory=list)
    cpu: list[list[float]] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)
    reference: Timing | None = None
    network: Timing | None = None
    error: str | None = None
    _counted: int = field(default=0, init=False, repr=False, compare=False)  # rounds that are in _sum_ms
    _sum_ms: float = field(default=0.0, init=False, repr=False, compare=False)

    @property
    def runs(self) -> int:
        return sum(map(len, self.rounds))

    @property
    def total_ms(self) -> float:
        """Rounds are only added: it is asked after each, and of a network of microseconds there are thousands."""
        self._sum_ms += sum(map(sum, self.rounds[self._counted :]))
        self._counted = len(self.rounds)
        return self._sum_ms

    def percentiles(self) -> dict[str, float]:
        """{"median", "p90", "p99", "max"} of all runs, in milliseconds."""
        median, p90, p99, most = self.quantiles((50, 90, 99, 100))
        return {"median": median, "p90": p90, "p99": p99, "max": most}

    def quantiles(self, percents: Sequence[float]) -> list[float]:
        """Of all runs, in milliseconds."""
        values = [ms for block in self.rounds for ms in block]
        return [round(float(v), 4) for v in np.percentile(values, percents)]


def measure(
    subjects: Sequence[Callable[[], object]],
    *,
    min_seconds: float = 2.0,
    warmup: int = 10,
    min_rounds: int = MIN_ROUNDS,
    references: Sequence[Callable[[], object]] | None = None,
    networks: Sequence[Callable[[], object] | None] | None = None,
    enough: Callable[[Timing], bool] = lambda timing: True,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
    on_round: Callable[[float], None] | None = None,
) -> list[Timing]:
    """Time each of `subjects`, in turn, until each has at least `min_rounds` rounds and `min_seconds` of measured time.

    warmup      untimed runs of each before the first round
    references  one for each subject, measured after each of its turns (`reference.py`);  networks  the same
    enough      whether a subject is known well enough; while one is not, all go on, for `PATIENCE` times as long at most
    on_round    is told after every round which share of the work is done, 0..1

    A subject that raises keeps the reason in `Timing.error` and is not called again; the others go on.
    """
    timings = [Timing(reference=Timing() if references else None) for _ in subjects]
    beside: dict[int, list[tuple[Callable[[], object], Timing]]] = {id(timing): [] for timing in timings}
    for timing, work in zip(timings, references or (), strict=False):
        assert timing.reference is not None
        beside[id(timing)].append((work, timing.reference))
    for timing, network in zip(timings, networks or (), strict=False):
        if network is not None:
            timing.network = Timing()
            beside[id(timing)].append((network, timing.network))
    began = clock_ns()

    def turn(subject: Callable[[], object], timing: Timing, runs: int, keep: bool) -> None:
        block, cpu, first = [], [], clock_ns()
        try:
            for _ in range(runs):
                worked, start = time.process_time_ns(), clock_ns()
                subject()
                block.append((clock_ns() - start) / 1e6)
                cpu.append((time.process_time_ns() - worked) / 1e6)
        except Exception as error:
            timing.error = str(error) or type(error).__name__
            return
        if keep:
            timing.rounds.append(block)
            timing.cpu.append(cpu)
            timing.starts_s.append((first - began) / 1e9)

    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a run would be charged to the model
    try:
        for subject, timing in zip(subjects, timings, strict=True):
            turn(subject, timing, warmup, keep=False)
        forward, number = True, 0
        while True:
            alive = [(s, t) for s, t in zip(subjects, timings, strict=True) if t.error is None]
            alive = alive if forward else alive[::-1]
            done = min((_progress(t, min_rounds, min_seconds) for _, t in alive), default=1.0)
            if on_round:
                on_round(min(1.0, done))
            asked = done >= 1 and (number := number + 1) % ASK_EVERY == 1
            if asked and all(_share_of_time(t, min_seconds) >= PATIENCE or enough(t) for _, t in alive):
                return timings
            for subject, timing in alive:
                turn(subject, timing, 1, keep=False)
                if timing.error is None:
                    turn(subject, timing, ROUND, keep=True)
                for work, other in beside[id(timing)]:
                    turn(work, other, 1, keep=False)
                    turn(work, other, REFERENCE_RUNS, keep=True)
            forward = not forward
    finally:
        if collecting:
            gc.enable()


def _progress(timing: Timing, min_rounds: int, min_seconds: float) -> float:
    return min(_share_of_time(timing, min_seconds), len(timing.rounds) / min_rounds)


def _share_of_time(timing: Timing, min_seconds: float) -> float:
    """Of the time that a subject is to be measured; all of it, too, once `MOST_BESIDE` times that has gone by beside it."""
    if not min_seconds:
        return PATIENCE
    beside = sum(other.total_ms for other in (timing.reference, timing.network) if other is not None)
    return max(timing.total_ms, (timing.total_ms + beside) / MOST_BESIDE) / (min_seconds * 1e3)


def noise(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A frame (h, w, 3) of random bytes, the same every time."""
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
