"""Which trials are worth it, by hand."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.recipes.front import Trial, front, to_table, write


def trial(number: int, accuracy: float, macs: int = 100, size: int = 100, ms: float = 1.0) -> Trial:
    return Trial(number, accuracy, macs, size, ms, {"keep": 0.5, "importance": None}, f"trial-{number:04d}")


CASES = [
    ([trial(0, 0.9)], [0]),
    ([trial(0, 0.9), trial(1, 0.9, macs=90)], [1]),
    ([trial(0, 0.9), trial(1, 0.8, macs=90)], [1, 0]),  # the cheapest first
    ([trial(0, 0.9), trial(1, 0.9)], [0]),  # alike: the earliest
    ([trial(0, 0.9, macs=50), trial(1, 0.8, size=50), trial(2, 0.7, ms=0.5), trial(3, 0.7, 60, 60, 1.0)], [0, 3, 1, 2]),
    ([trial(0, 0.9), trial(1, 0.8, 100, 100, 1.0), trial(2, 0.95, 200, 200, 2.0)], [0, 2]),
]


@pytest.mark.parametrize(("trials", "numbers"), CASES)
def test_fronts(trials: list[Trial], numbers: list[int]) -> None:
    assert [t.number for t in front(trials)] == numbers


@given(st.lists(st.tuples(*[st.integers(1, 4)] * 4), max_size=12))
def test_nothing_on_the_front_is_beaten_and_all_else_is(costs: list[tuple[int, int, int, int]]) -> None:
    trials = [trial(i, a / 4, b, c, d) for i, (a, b, c, d) in enumerate(costs)]
    best = front(trials)
    for a, b in itertools.permutations(best, 2):
        assert any(x < y for x, y in zip(a.costs, b.costs, strict=True))
    for other in trials:
        assert any(all(x <= y for x, y in zip(b.costs, other.costs, strict=True)) for b in best)


def test_what_is_written(tmp_path: Path) -> None:
    trials = [trial(0, 0.9), trial(1, 0.8, macs=90), trial(2, 0.7)]
    document = write(tmp_path, trials, front(trials), "iou", {"model": "m"})
    assert json.loads((tmp_path / "front.json").read_text()) == json.loads(json.dumps(document))
    assert [t["number"] for t in document["front"]] == [1, 0]
    assert len(document["trials"]) == 3
    table = (tmp_path / "front.md").read_text()
    assert table == to_table(front(trials), "iou")
    assert "| 1 | 0.8000 | 0.00 | 0.10 | 1.00 | keep 0.5 |" in table
    picture = cv2.imread(str(tmp_path / "front.png"))
    assert picture is not None
    assert picture.shape[1] > 2 * picture.shape[0]
    assert picture.std() > 5  # something is drawn
