"""Budgets and floors, worked out by hand."""

from __future__ import annotations

import pytest

from edgeseg.errors import UsageError
from edgeseg.recipes.budget import Budget, Costs, Floor, exceeded, excess, parse_floor, parse_limit

ORIGINAL = Costs(macs=200_000_000, params=1_000_000, size_bytes=4_000_000, latency_ms=20.0)
LIMITS = [
    ("macs <= 60e6", ("macs", 60e6)),
    (" params<=5e5 ", ("params", 5e5)),
    ("size_bytes <= 300_000", ("size_bytes", 3e5)),
    ("latency_ms <= 0.8", ("latency_ms", 0.8)),
]
FLOORS = [
    ("iou >= 0.93", Floor("iou", 0.93)),
    ("iou drop <= 1.5", Floor("iou", max_drop=1.5)),
    ("iou/road sign >= 0.5", None),
    ("iou/a drop<= 0", Floor("iou/a", max_drop=0.0)),
]


@pytest.mark.parametrize(("text", "expected"), LIMITS)
def test_expressions(text: str, expected: tuple[str, float]) -> None:
    assert parse_limit(text) == expected


@pytest.mark.parametrize("text", ["macs < 60e6", "macs >= 60e6", "macs", "macs <= many", "<= 3"])
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no budget; write it as in: macs <= 60e6|is not a number"):
        parse_limit(text)


@pytest.mark.parametrize(("text", "expected"), FLOORS)
def test_floors(text: str, expected: Floor | None) -> None:
    if expected is None:
        with pytest.raises(UsageError, match=r"is no floor; write it as in: iou >= 0\.93"):
            parse_floor(text)
    else:
        assert parse_floor(text) == expected


def test_shares_are_of_the_original_and_latency_has_none() -> None:
    budget = Budget({"macs": 0.25, "params": 3e5, "size_bytes": 1.0, "latency_ms": 0.5}, "this machine")
    assert budget.absolute(ORIGINAL) == {"macs": 50e6, "params": 3e5, "size_bytes": 4e6, "latency_ms": 0.5}


def test_what_is_exceeded_is_said_with_its_unit() -> None:
    limits = {"macs": 100e6, "params": 1e6, "latency_ms": 25.0}
    assert exceeded(limits, ORIGINAL) == ["macs <= 100 MMAC, but it is 200 MMAC"]
    assert excess(limits, ORIGINAL) == 2.0
    assert excess({"latency_ms": 10.0}, Costs(1, 1, 1)) == 0.0  # nobody knows
    assert exceeded({"latency_ms": 10.0}, Costs(1, 1, 1)) == []


GOALS = [
    (Floor(), None),
    (Floor(least=0.9), 0.9),
    (Floor(max_drop=2.0), 0.93),
    (Floor(least=0.94, max_drop=2.0), 0.94),
    (Floor("iou/a", max_drop=10.0), 0.7),
    (Floor(max_drop=-1.0), 0.96),  # better than the original
]


@pytest.mark.parametrize(("floor", "goal"), GOALS)
def test_goals(floor: Floor, goal: float | None) -> None:
    assert floor.goal({"iou": 0.95, "iou/a": 0.8}) == (goal if goal is None else pytest.approx(goal))


def test_a_floor_of_a_score_that_there_is_none_of() -> None:
    with pytest.raises(UsageError, match="the floor speaks of miou, validation of iou, iou/a"):
        Floor("miou", 0.5).named({"iou": 0.95, "iou/a": 0.8})


REFUSED = [
    (lambda: Budget({"flops": 1e6}), "a budget has no 'flops'; there are: macs, params, size_bytes, latency_ms"),
    (lambda: Budget({"macs": 0.0}), "must be a number above 0, got 0"),
    (lambda: Budget({"macs": float("nan")}), "must be a number above 0, got nan"),
    (lambda: Budget({"latency_ms": 8.0}), "a budget of latency_ms needs a device"),
    (lambda: Floor(least=93.0), "a share from 0 to 1, got 93.0; 93 % is 0.93"),
    (lambda: Floor(max_drop=500.0), "in points of 100"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_refusals(make: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()  # type: ignore[operator]
