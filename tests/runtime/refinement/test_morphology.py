"""Specks, holes, growth, and one of several persons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.runtime.refinement.morphology import LargestPerson, fill_holes, reshape


def squares(*places: tuple[int, int, int], size: int = 40) -> np.ndarray:
    """(size, size) with a square of 255 for each (top, left, side)."""
    plane = np.zeros((size, size), np.uint8)
    for top, left, side in places:
        plane[top : top + side, left : left + side] = 255
    return plane


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        ({}, squares((5, 5, 3), (20, 20, 10)), squares((5, 5, 3), (20, 20, 10))),
        ({"opening": 1}, squares((5, 5, 2)), squares()),  # thinner than the 3 pixels of a disc of radius 1
        ({"closing": 1}, 255 - squares((15, 15, 2)), 255 - squares()),
        ({"growth": -2}, squares((10, 10, 11)), squares((12, 12, 7))),
    ],
)
def test_by_hand(change: dict[str, int], before: np.ndarray, after: np.ndarray) -> None:
    np.testing.assert_array_equal(reshape(before, **change), after)


def test_growth_is_as_far_as_it_says_and_soft_edges_stay_soft() -> None:
    ramp = np.repeat(np.arange(0, 200, 5, np.uint8)[None], 40, axis=0)
    np.testing.assert_array_equal(reshape(ramp, growth=3)[20, :-3], ramp[20, 3:])


def persons(*places: tuple[int, int, int]) -> np.ndarray:
    return (squares(*places) / 255).astype(np.float32)


def test_only_the_largest_person_is_left() -> None:
    both = persons((2, 2, 8), (20, 20, 12))
    both[30, 10] = 0.2  # too faint to be anybody: it stays for the final step to remove
    alone = LargestPerson()(both)
    assert (alone[:12, :12] == 0).all()
    np.testing.assert_array_equal(alone[15:], both[15:])
    assert both[5, 5] == 1  # the caller's own is left alone


def test_an_empty_room_and_one_person_are_left_alone() -> None:
    for matte in (persons(), persons((5, 5, 9))):
        np.testing.assert_array_equal(LargestPerson()(matte), matte)


def test_of_two_of_nearly_one_size_the_choice_does_not_flicker() -> None:
    choose = LargestPerson()
    kept = [
        bool(choose(persons((2, 2, left), (20, 20, right)))[4, 4]) for left, right in ((10, 8), (10, 11), (10, 12), (10, 11))
    ]
    assert kept == [True, True, False, False]  # 121 is not 1.25 x 100, 144 is
    choose.reset()
    assert not choose(persons((2, 2, 10), (20, 20, 11)))[4, 4]


def person_with(hole: float, size: int, left: int = 15) -> np.ndarray:
    """(40, 40) with a person of 30 x 30 pixels and in it a square hole of the value `hole`."""
    matte = persons((5, 5, 30))
    matte[15 : 15 + size, left : left + size] = hole
    return matte


@pytest.mark.parametrize(
    ("matte", "filled"),
    [
        (person_with(0.0, 2), True),  # 4 pixels of room; a hundredth of 896 are 8
        (person_with(0.0, 3), False),  # 9 of 891: the room, as behind an arm on the hip
        (person_with(0.5, 12), True),  # 144 pixels where the network is in doubt; a fifth of 756 are 151
        (person_with(0.5, 13), False),  # 169 of 731
        (person_with(0.0, 2, left=33), False),  # open to the side: a bay, no hole
        (person_with(0.8, 5), False),  # no hole at all: the final step makes it 1
    ],
)
def test_small_holes_are_filled(matte: np.ndarray, filled: bool) -> None:
    before = matte.copy()
    after = fill_holes(matte, 0.2)
    np.testing.assert_array_equal(after, persons((5, 5, 30)) if filled else before)
    np.testing.assert_array_equal(matte, before)  # the caller's own is left alone


def test_a_hole_that_touches_the_frame_is_open() -> None:
    matte = np.ones((20, 20), np.float32)
    matte[0, 10] = 0.5
    assert fill_holes(matte, 0.5) is matte


def test_the_ring_that_a_hole_has_dragged_down_is_filled_with_it() -> None:
    matte = np.ones((20, 20), np.float32)
    matte[8:13, 8:13] = 0.9
    matte[10, 10] = 0.1
    after = fill_holes(matte, 0.2)
    assert (after[9:12, 9:12] == 1).all()
    assert after[8, 8] == np.float32(0.9)


planes = st.tuples(st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**32 - 1)).map(
    lambda case: np.random.default_rng(case[2]).integers(0, 256, case[:2], np.uint8)
)


@settings(max_examples=50, deadline=None)
@given(planes, st.integers(0, 4))
def test_opening_only_takes_and_closing_only_adds_and_a_second_time_changes_nothing(plane: np.ndarray, radius: int) -> None:
    opened, closed = reshape(plane, opening=radius), reshape(plane, closing=radius)
    assert (opened <= plane).all()
    assert (closed >= plane).all()
    np.testing.assert_array_equal(reshape(opened, opening=radius), opened)
    np.testing.assert_array_equal(reshape(closed, closing=radius), closed)
    np.testing.assert_array_equal(255 - reshape(plane, growth=radius), reshape(255 - plane, growth=-radius))


@settings(max_examples=50, deadline=None)
@given(planes, st.floats(0, 1))
def test_filling_never_takes_and_only_makes_ones(plane: np.ndarray, share: float) -> None:
    matte = (plane / 255).astype(np.float32)
    after = fill_holes(matte, share)
    assert ((after == matte) | (after == 1)).all()
