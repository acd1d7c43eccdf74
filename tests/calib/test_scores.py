"""Scores of answers that are known."""

import numpy as np
import pytest

from edgeseg.calib.scores import EQUAL_DB, Tally, decibels, truth_at


@pytest.mark.parametrize(
    ("signal", "noise", "expected"),
    [(100.0, 1.0, 20.0), (1.0, 1.0, 0.0), (1.0, 0.0, EQUAL_DB), (0.0, 0.0, EQUAL_DB), (0.0, 1.0, -EQUAL_DB)],
)
def test_decibels(signal, noise, expected):
    assert decibels(signal, noise) == pytest.approx(expected)


def test_a_tally_without_truth_compares_with_the_network():
    tally = Tally(2)
    tally.add(np.array([[1, 1, 0, 0]], np.int32), np.array([[1, 0, 0, 0]], np.int32), None)
    score = tally.score()
    assert score.agreement == 0.75
    assert score.miou_delta == pytest.approx((1 / 2 + 2 / 3) / 2 - 1)


def test_truth_is_enlarged_without_mixing_classes():
    assert truth_at(np.array([[0, 255]], np.uint8), (2, 4)).tolist() == [[0, 0, 255, 255]] * 2
