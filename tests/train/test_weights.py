"""Class weights against values worked out by hand."""

import math

import pytest

from edgeseg.train.weights import enet_weights, median_frequency, shares


def test_shares():
    assert shares([3, 1, 0]) == [0.75, 0.25, 0.0]
    assert shares([0, 0]) == [0.0, 0.0]


def test_enet_weights():
    # ln 1.77 = 0.57098, ln 1.27 = 0.23902, ln 1.02 = 0.0198026
    assert enet_weights([3, 1, 0]) == pytest.approx([1.75138, 4.18382, 50.4983], rel=1e-5)
    assert enet_weights([5], c=1.1) == [1 / math.log(2.1)]


def test_median_frequency():
    # Two pictures of 100 pixels; road 80 + 60, car 20 in the first only, sky 40 in the second only:
    # frequencies 140/200 = 0.7, 20/100 = 0.2, 40/100 = 0.4; median 0.4
    assert median_frequency([140, 20, 40], [200, 100, 100]) == pytest.approx([0.4 / 0.7, 2.0, 1.0])


def test_median_frequency_of_a_class_that_never_appears():
    assert median_frequency([10, 0], [20, 0]) == [1.0, 0.0]
    assert median_frequency([], []) == []
