"""Multiply-adds of every choice, and the choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.compress.channels import channel_sets
from edgeseg.compress.plan import Plan, channels_and_macs, pixels_of
from edgeseg.models import MODELS
from edgeseg.report.cost import count
from tests.compress.shapes import SIZE, Tiny

FIRST, SECOND, HEAD = 64 * 9 * 3 * 8, 64 * 9 * 8 * 8, 64 * 8  # MACs of Tiny


@pytest.fixture(scope="module")
def plan() -> Plan:
    network = Tiny()
    return Plan(network, channel_sets(network), pixels_of(network, SIZE))


def test_layers_by_hand() -> None:
    network = Tiny().train()
    assert channels_and_macs(network, pixels_of(network, SIZE)) == {
        "first.0": (8, FIRST), "second.0": (8, SECOND), "head": (1, HEAD),
    }  # fmt: skip
    assert network.training


@pytest.mark.parametrize("arguments", [{"activation": "relu"}, {"activation": "prelu"}])
def test_all_layers_are_those_that_cost_counts(arguments: dict[str, str]) -> None:
    network = MODELS["enet"](5, **arguments)
    rows = channels_and_macs(network, pixels_of(network, (64, 32)))
    assert {name: macs for name, (_, macs) in rows.items()} == {
        row.name: row.macs for row in count(network, (64, 32)).layers if row.macs
    }


def test_macs_and_what_is_freed_by_hand(plan: Plan) -> None:
    removed = np.array([2.0, 4.0, 0.0])
    assert plan.macs(removed) == FIRST * 6 / 8 + SECOND * 6 / 8 * 4 / 8 + HEAD * 4 / 8
    none = np.zeros(3)
    assert plan.freed(none, np.array([1.0, 1.0, 0.0])).tolist() == [(FIRST + SECOND) / 8, (SECOND + HEAD) / 8, 0]


# Importance of the channels of the first and the second layer, share of the MACs, per MAC -> channels that go
CHOICES = [
    ([1] * 8, [9] * 8, 0.75, False, [3, 0]),  # of the first layer, as many as it takes
    ([9] * 8, [1] * 8, 0.75, False, [0, 3]),
    ([3] * 8, [2] * 8, 0.9, False, [0, 2]),
    ([2.2] * 8, [2] * 8, 0.9, True, [1, 0]),  # more is lost, but over-proportionally more is freed
    ([0] * 8, [0] * 8, 0.999, False, [1, 0]),
]


@pytest.mark.parametrize(("first", "second", "share", "per_mac", "gone"), CHOICES)
def test_choices_by_hand(plan: Plan, first: list[float], second: list[float], share: float, per_mac: bool, gone: Any) -> None:
    goal = share * (FIRST + SECOND + HEAD)
    scores = [np.array(first, float), np.array(second, float), np.array([np.inf])]
    assert plan.choose(goal, scores, np.array([7.0, 7, 0]), 1, per_mac).tolist() == [*gone, 0]


def test_what_there_is_room_for_comes_back(plan: Plan) -> None:
    """First the channel that is missed least, which frees little; then one that frees enough: the first can stay."""
    scores = [np.array([2.0] * 8), np.array([1.0] + [9.0] * 7), np.array([np.inf])]
    total = FIRST + SECOND + HEAD
    goal = total - (FIRST + SECOND) / 8
    assert plan.choose(goal, scores, np.array([7.0, 7, 0]), 1, False).tolist() == [1, 0, 0]


@settings(max_examples=40, deadline=None)
@given(
    share=st.floats(0.05, 1),
    round_to=st.sampled_from([1, 2, 3, 4, 8]),
    least=st.integers(1, 8),
    seed=st.integers(0, 9),
    equal=st.booleans(),
    per_mac=st.booleans(),
)
def test_any_goal(plan: Plan, share: float, round_to: int, least: int, seed: int, equal: bool, per_mac: bool) -> None:
    """At or below the goal or at the least; widths are whole or multiples; nothing could come back."""
    goal = share * (FIRST + SECOND + HEAD)
    generator = torch.Generator().manual_seed(seed)
    scores = None if equal else [torch.rand(n, generator=generator).double().numpy() for n in (8, 8, 1)]
    most = np.array([8.0 - least, 8 - least, 0])
    removed = plan.choose(goal, scores, most, round_to, per_mac)
    assert (removed >= 0).all()
    assert (removed <= most).all()
    assert all(n == 0 or (8 - n) % round_to == 0 for n in removed[:2])
    if plan.macs(removed) > goal:
        assert all(n + ((8 - n) % round_to or round_to) > most[0] for n in removed[:2])
    for s in range(2):
        if removed[s]:
            back = removed.copy()
            back[s] = max(0, back[s] - round_to)
            assert plan.macs(back) > goal
