"""How long each stage of the pipeline takes, told from outside of the stages."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

import numpy as np

STAGES = ("capture", "infer", "refine", "composite", "sink")
KEPT = 10_000  # newest times of each stage: some minutes of video, and bounded


class StageTimes:
    """A stopwatch with one hand a stage: `with times.of("infer"): ...`"""

    def __init__(self) -> None:
        self._times_ms: dict[str, deque[float]] = {stage: deque(maxlen=KEPT) for stage in STAGES}

    def of(self, stage: str) -> _Timed:
        return _Timed(self._times_ms[stage])

    def summary(self) -> dict[str, dict[str, float | None]]:
        """Median and 95th percentile of each stage in milliseconds; None for a stage that never ran."""
        return {
            stage: {
                "median": round(float(np.median(times)), 3) if times else None,
                "p95": round(float(np.percentile(times, 95)), 3) if times else None,
            }
            for stage, times in self._times_ms.items()
        }


class _Timed:
    def __init__(self, times_ms: deque[float]) -> None:
        self._times_ms = times_ms

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._times_ms.append(1e3 * (time.perf_counter() - self._start))
