"""A file opened several times, whose openings take turns.

Where the weights and buffers of one opening happen to lie in memory makes it some percent faster or slower than the next one
for as long as it is open (ONNX Runtime by up to 8 % of the default model's time on an EPYC, LiteRT by 3 %): a report of a
single opening would say of the file what is an accident of the day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

OPENINGS = 4


@dataclass
class Openings:
    """Called, it runs the inference of the opening whose turn it is."""

    runs: Sequence[Callable[[], object]]
    _turn: int = 0

    def __call__(self) -> object:
        return self.runs[self._turn]()

    def next(self) -> None:
        """It is the turn of the next one."""
        self._turn = (self._turn + 1) % len(self.runs)
