"""Specks, holes, growth, and one of several persons."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.runtime.refinement.morphology import LargestPerson, reshape


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
