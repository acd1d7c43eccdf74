from __future__ import annotations

import math

import pytest

from edgeseg.train.schedule import Schedule


@pytest.mark.parametrize(
    ("progress", "size"), [(0.0, (128, 64)), (0.29, (128, 64)), (0.3, (192, 96)), (0.7, (256, 128)), (1.0, (256, 128))]
)
def test_pictures_grow(progress: float, size: tuple[int, int]) -> None:
    assert Schedule().size(progress, (256, 128), 32) == size


def test_learning_rate_rises_then_falls() -> None:
    schedule = Schedule(learning_rate=1.0, warmup=0.1)
    rates = [schedule.rate(p) for p in (0.0, 0.05, 0.1, 0.5, 0.9, 1.0)]
    assert rates[0] < rates[1] < rates[2] > rates[3] > rates[4] > rates[5]
    assert rates[3] == pytest.approx(0.5025)
    assert rates[5] == pytest.approx(0.005)


def test_poly_by_hand() -> None:
    schedule = Schedule(learning_rate=2.0, warmup=0.0, policy="poly")
    assert schedule.rate(0.0) == 2.0
    assert schedule.rate(0.5) == pytest.approx(2 * 0.5**0.9)
    assert schedule.rate(1.0) == 0.0
    assert schedule.rate(1.2) == 0.0  # the clock may have run past the end


def test_progress_is_by_epochs_or_by_the_clock() -> None:
    assert Schedule(epochs=10).progress(2.5, 9999) == 0.25
    assert Schedule(epochs=10, minutes=2).progress(2.5, 60) == 0.5
    assert Schedule(epochs=10, minutes=2).progress(7.5, 60) == 0.75


LEFT = [
    # half of the schedule at half size costs a fifth: 0.5 * 0.25 of 0.5 * 0.25 + 0.5 * 1
    (0.5, 60.0, None, 4.0),
    (0.75, 60.0, None, 0.25 / 0.375),
    (1.0, 60.0, None, 0.0),
    (1.5, 60.0, None, 0.0),
    (0.5, 60.0, 3.0, 2.0),  # the clock ends it sooner
    (0.5, 60.0, 0.5, 0.0),
    (0.0, 0.0, None, math.inf),
    (0.0, 0.0, 5.0, 5.0),
]


@pytest.mark.parametrize(("progress", "seconds", "minutes", "left"), LEFT)
def test_time_left_by_hand(progress: float, seconds: float, minutes: float | None, left: float) -> None:
    schedule = Schedule(minutes=minutes, sizes=((0.5, 1.0), (0.0, 0.5)))
    assert schedule.left(progress, seconds) == pytest.approx(left)
