"""Which step's network is the result."""

from __future__ import annotations

import pytest

from edgeseg.recipes.budget import Costs, Floor
from edgeseg.recipes.outcome import choose
from edgeseg.recipes.state import Row


def rows(*results: tuple[int, float]) -> list[Row]:
    return [Row("", "", "", "", Costs(macs, 1, 1), {"iou": iou}, 0.0) for macs, iou in results]


CASES = [
    # the last one, where it does or where nothing is asked for
    (((100, 0.95), (40, 0.6), (40, 0.94)), Floor(max_drop=1.0), 2),
    (((100, 0.95), (40, 0.6), (40, 0.5)), Floor(), 2),
    # else the most accurate one within the budget, and of two alike the later
    (((100, 0.95), (40, 0.6), (40, 0.93), (40, 0.90)), Floor(max_drop=1.0), 2),
    (((100, 0.95), (60, 0.94), (40, 0.90), (40, 0.90)), Floor(max_drop=0.5), 3),
    (((100, 0.95), (60, 0.94), (55, 0.90)), Floor(max_drop=0.5), 2),  # none is within the budget
]


@pytest.mark.parametrize(("results", "floor", "chosen"), CASES)
def test_choose(results: tuple[tuple[int, float], ...], floor: Floor, chosen: int) -> None:
    assert choose(rows(*results), {"macs": 50.0}, floor) == chosen
