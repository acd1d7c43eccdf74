"""A stage that fails now and then hides a frame; one that keeps failing ends the run."""

from __future__ import annotations

from collections import Counter

PATIENCE = 10  # failures in a row, after which a stage is given up


class Patience:
    """How often each stage has failed, in a row and in all. Each stage belongs to one thread."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()  # in all
        self._in_a_row: Counter[str] = Counter()

    def failed(self, stage: str, error: Exception) -> None:
        """Count a failure; raises `error` where it is one too many."""
        self.failures[stage] += 1
        self._in_a_row[stage] += 1
        if self._in_a_row[stage] >= PATIENCE:
            raise error

    def went_well(self, stage: str) -> None:
        self._in_a_row[stage] = 0
