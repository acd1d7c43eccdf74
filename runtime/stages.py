"""How long each stage of the pipeline takes, told from outside of the stages."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

import numpy as np
import numpy.typing as npt

STAGES = ("capture", "infer", "refine", "composite", "sink")
KEPT = 10_000  # newest times of each stage: some minutes of video, and bounded
RECENT = 90  # of them, that the live line tells of: some seconds

Quantiles = dict[str, float | None]


class StageTimes:
    """A stopwatch with one hand a stage: `with times.of("infer"): ...`. Each stage belongs to one thread; anybody may read.

    lag  is how long a frame took from its source until the sink had it: more than the stages' sum where it had to wait
    """

    def __init__(self) -> None:
        self._times_ms = {stage: _Newest() for stage in (*STAGES, "lag")}
        self._done_s: deque[float] = deque(maxlen=RECENT)
        self.dropped = 0  # frames, so far
        self.inferred: float | None = None  # share of the frames that the network has looked at, so far

    def of(self, stage: str) -> _Timed:
        return _Timed(self._times_ms[stage])

    def arrived(self, came_s: float) -> None:
        """The sink has a frame that came from its source at `came_s`, on the clock of time.perf_counter."""
        now_s = time.perf_counter()
        self._times_ms["lag"].append(1e3 * (now_s - came_s))
        self._done_s.append(now_s)

    def summary(self) -> dict[str, Quantiles]:
        """Median and 95th percentile of each stage in milliseconds; None for a stage that never ran."""
        return {stage: _quantiles(self._times_ms[stage].last(KEPT)) for stage in STAGES}

    def lag_ms(self) -> Quantiles:
        """Median and 95th percentile of the lag in milliseconds."""
        return _quantiles(self._times_ms["lag"].last(KEPT))

    def line(self) -> str:
        """The last seconds in a line: frames a second, then median/95th percentile of each stage in ms."""
        done_s = list(self._done_s)
        fps = (len(done_s) - 1) / (done_s[-1] - done_s[0]) if len(done_s) > 1 and done_s[-1] > done_s[0] else 0.0
        stages = []
        for stage in STAGES:
            times = _quantiles(self._times_ms[stage].last(RECENT))
            if times["median"] is not None:
                stages.append(f"{stage} {times['median']:.1f}/{times['p95']:.1f}")
        looked = "" if self.inferred is None else f"  network {self.inferred:.0%}"
        return f"{fps:.1f} fps  dropped {self.dropped}{looked}  {'  '.join(stages)} ms"


class _Newest:
    """The KEPT newest times, in an array that is there from the start: the memory of a long run does not grow by them."""

    def __init__(self) -> None:
        self._ring = np.full(KEPT, np.nan)
        self._count = 0

    def append(self, time_ms: float) -> None:
        self._ring[self._count % KEPT] = time_ms
        self._count += 1

    def last(self, most: int) -> npt.NDArray[np.float64]:
        """The newest, `most` of them, oldest first."""
        count = self._count
        return self._ring[np.arange(max(0, count - min(most, KEPT)), count) % KEPT]


def _quantiles(times_ms: npt.NDArray[np.float64]) -> Quantiles:
    if not times_ms.size:
        return {"median": None, "p95": None}
    median, p95 = np.percentile(times_ms, (50, 95))
    return {"median": round(float(median), 3), "p95": round(float(p95), 3)}


class _Timed:
    def __init__(self, times_ms: _Newest) -> None:
        self._times_ms = times_ms

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._times_ms.append(1e3 * (time.perf_counter() - self._start))
