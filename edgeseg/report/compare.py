"""Is one faster than the other? A ratio with its interval, or "no difference".

Within one report `speedup` compares files that took turns. Two reports, of two days, are compared by `change`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from edgeseg.report.latency import Timing

RESAMPLES = 2000
CONFIDENCE = 0.95
# One file opened twice differs by a percent or so, in every round: where its weights and buffers happen to lie in memory.
LEAST = 1.02


@dataclass(frozen=True)
class Ratio:
    """How many times faster the subject is than its reference: 2 is half the time."""

    value: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        return self.low > LEAST or self.high < 1 / LEAST

    def __str__(self) -> str:
        if not self.differs:
            return "no difference"
        return f"{self.value:.2f}x ({self.low:.2f} to {self.high:.2f})"


def speedup(reference: Sequence[Sequence[float]], subject: Sequence[Sequence[float]]) -> Ratio | None:
    """Ratio of the times of two subjects that were measured in the same rounds (`latency.Timing.rounds`).

    Each round gives one ratio, median time of the reference / median time of the subject, so that whatever slowed the
    machine in that round cancels. The value is their median; the interval is the percentile bootstrap of that median (95 %,
    2000 resamples of the rounds with a fixed seed; Efron & Tibshirani 1993, chapter 13). Where it comes
    within 2 % of 1 there is no difference (`LEAST`). Rounds are resampled, not runs: runs of one round are not independent.

    None with fewer than 5 rounds in common: too few to say anything.
    """
    ratios = np.array([np.median(r) / np.median(s) for r, s in zip(reference, subject, strict=False)])
    if len(ratios) < 5:
        return None
    resampled = np.random.default_rng(0).choice(ratios, (RESAMPLES, len(ratios)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.median(resampled, axis=1), [tail, 1 - tail])
    return Ratio(float(np.median(ratios)), float(low), float(high))


def fair_rounds(timings: Sequence[Timing], threads: Sequence[int]) -> list[list[list[float]]]:
    """What to compare files by that were measured together: the times of their runs, round by round.

    Where other processes took the processor from the reference work (`UNDISTURBED`), and with one thread, it is processor time.
    """
    shares = [
        np.median([np.median(c) / np.median(w) for c, w in zip(t.reference.cpu, t.reference.rounds, strict=True)])
        for t in timings
        if t.reference is not None and t.reference.rounds
    ]
    disturbed = bool(shares) and min(shares) < UNDISTURBED and set(threads) == {1}
    return [t.cpu if disturbed else t.rounds for t in timings]


def is_precise(timing: Timing) -> bool:
    """Whether the file, in units of the reference work beside it, is known to `PRECISION`, so that a later report can tell.

    By the 95 % interval of the median over blocks, from order statistics (David & Nagaraja 2003, section 7.1). By the clock
    that varies less: which one two reports are compared by depends on the other report too.
    """
    beside = timing.network or timing.reference
    if beside is None or beside.error is not None:
        return True
    pairs = ((timing.rounds, beside.rounds), (timing.cpu, beside.cpu))
    return min(_half_width(*pair) for pair in pairs) <= PRECISION


def _half_width(blocks: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> float:
    """Of the 95 % interval of the median of the ratios of blocks, as a share of that median."""
    ratios = np.sort([median(b) / median(r) for b, r in zip(blocks, reference, strict=True)])
    middle, reach = (len(ratios) - 1) / 2, 0.98 * len(ratios) ** 0.5  # 1.96 deviations of a binomial of one half
    low, high = (ratios[int(np.clip(np.round(middle + side * reach), 0, len(ratios) - 1))] for side in (-1, 1))
    return float((high - low) / (2 * np.median(ratios)))


PRECISION = 0.015  # half an interval: two reports of a file 15 % slower must be told apart from 5 %, whatever else differs
UNDISTURBED = 0.95  # share of the time that the reference must have had its processor for the clock to be believed
FEWEST = 5  # blocks


@dataclass(frozen=True)
class Change:
    """How many times as long a file takes in a newer report: 1.1 is 10 % longer.

    clock  "wall" for the time that passed, "processor" for processor time
    """

    value: float
    low: float
    high: float
    clock: str

    def is_slower(self, tolerance: float) -> bool:
        """Longer by more than `tolerance` (0.05 is 5 %), noise aside."""
        return self.low > 1 + tolerance

    def is_faster(self, tolerance: float) -> bool:
        return self.high < 1 - tolerance

    def __str__(self) -> str:
        return f"{100 * (self.value - 1):+.1f} % ({100 * (self.low - 1):+.1f} to {100 * (self.high - 1):+.1f})"


def change(old: Mapping[str, Any], new: Mapping[str, Any]) -> Change | None:
    """From one row of a report to the row of the same file in another; None where either lacks its blocks, or where they were
    measured beside different reference work.

    Every block of a report gives one number: the file's median over the median of the reference work that followed it
    (`reference.py`): of the same network in the same version of the same runtime, or else of arithmetic. The value is the
    ratio of the medians of these numbers, its interval the percentile bootstrap over the blocks of either report (95 %), wider
    by the 2 % by which one file opened twice may differ (`LEAST`).

    With one thread, where another process has taken the processor from the reference for more than a twentieth of the time in
    either report, processor time is compared and not the time that passed.
    """
    if not all("blocks" in row and len(row["blocks"]["wall_ms"]) >= FEWEST for row in (old, new)):
        return None
    if not is_comparable(old, new):
        return None
    one_thread = old["threads"] == new["threads"] == 1
    disturbed = min(_had_processor(row) for row in (old, new)) < UNDISTURBED
    clock = "processor" if one_thread and disturbed else "wall"
    kind = "network" if _same_network(old, new) else "reference"
    before, after = (_normalised(row, "cpu" if clock == "processor" else "wall", kind) for row in (old, new))
    random = np.random.default_rng(0)
    resampled = [np.median(random.choice(x, (RESAMPLES, len(x))), axis=1) for x in (before, after)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled[1] / resampled[0], [tail, 1 - tail])
    return Change(float(np.median(after) / np.median(before)), float(low / LEAST), float(high * LEAST), clock)


def _had_processor(row: Mapping[str, Any]) -> float:
    """Share of the time that the reference had its processor."""
    blocks = row["blocks"]
    return float(np.median(np.divide(blocks["reference_cpu_ms"], blocks["reference_wall_ms"])))


def is_comparable(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two rows of reports were measured beside the same work."""
    return _same_network(old, new) or bool(old.get("reference_work", 1) == new.get("reference_work", 1))


def _same_network(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return old.get("network") is not None and bool(old["network"] == new.get("network"))


def _normalised(row: Mapping[str, Any], clock: str, kind: str) -> Any:
    blocks = row["blocks"]
    return np.divide(blocks[f"{clock}_ms"], blocks[f"{kind}_{clock}_ms"]) * row[f"{kind}_repeats"]
