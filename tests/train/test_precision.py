"""Expected values are worked out by hand in the comments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.train.precision import BINS, AveragePrecision


def score(probability, truth, known=None):
    of = AveragePrecision()
    truth = np.array(truth, bool)
    of.add(np.array(probability, np.float32), truth, np.ones_like(truth) if known is None else np.array(known, bool))
    return of.result()


CASES = [
    # the example of scikit-learn's average_precision_score: 1/2 * 1 + 1/2 * 2/3
    ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.5 + 0.5 * 2 / 3),
    ([0.9, 0.8, 0.1], [1, 1, 0], 1.0),
    ([0.1, 0.9], [1, 0], 0.5),
    ([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0], 0.25),  # no order at all: the share of the positive ones
    ([0.0, 1.0], [1, 1], 1.0),
    ([0.3, 0.4], [0, 0], None),
]


@pytest.mark.parametrize(("probability", "truth", "expected"), CASES)
def test_by_hand(probability, truth, expected):
    assert score(probability, truth) == (None if expected is None else pytest.approx(expected))


def test_what_is_not_known_and_images_that_come_one_by_one():
    assert score([0.8, 0.9, 0.1], [1, 0, 0], [1, 0, 1]) == 1.0
    of = AveragePrecision()
    assert of.result() is None
    for p, t in zip([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], strict=True):
        of.add(np.array([[p]]), np.array([[bool(t)]]), np.array([[True]]))
    assert of.result() == pytest.approx(0.5 + 0.5 * 2 / 3)


@given(st.lists(st.tuples(st.integers(0, BINS - 1), st.booleans()), min_size=1, max_size=20))
def test_is_the_definition(pixels):
    """Precision and recall at every threshold, one after the other."""
    p, t = np.array([a for a, _ in pixels]), np.array([b for _, b in pixels])
    expected, before = 0.0, 0.0
    for threshold in sorted(set(p), reverse=True):
        found = p >= threshold
        recall = t[found].sum() / max(t.sum(), 1)
        expected, before = expected + (recall - before) * t[found].mean(), recall
    assert score(p / BINS, t) == (pytest.approx(expected) if t.any() else None)
