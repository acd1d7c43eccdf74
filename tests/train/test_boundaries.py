"""Expected values are worked out by hand in the comments."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as npst
from scipy.spatial.distance import directed_hausdorff

from edgeseg.train.boundaries import boundary_f, boundary_pixels, bridge, compare_outlines

masks = npst.arrays(np.bool_, (12, 10))


def square(size, top, left, side):
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_boundary_of_a_shifted_square():
    # 100x100: diagonal 141.4. A 4x4 square has 12 boundary pixels, of which one column or row is 4.
    truth = square(100, 40, 40, 4)
    assert boundary_f(truth, truth) == 1.0
    # Tolerance 0.001: ceil(0.14) = 1 pixel. Shifted by 1, every boundary pixel is within 1 of the other boundary.
    assert boundary_f(square(100, 40, 41, 4), truth, tolerance=0.001) == 1.0
    # Shifted right by 2, with tolerance 1, rows 0 and 3 of both squares reach their own columns and one beyond.
    # Predicted columns 42..45, true 40..43; predicted pixels within 1 of true: in rows 0 and 3 columns 42, 43, 44 (6), in
    # rows 1 and 2 column 42 (its neighbour 43 is a true boundary; 2 pixels), column 45 not: 8 of 12. Recall likewise.
    assert boundary_f(square(100, 40, 42, 4), truth, tolerance=0.001) == pytest.approx(8 / 12)
    assert boundary_f(square(100, 40, 42, 4), truth) == 1.0  # the default tolerance is ceil(0.008 * 141.4) = 2
    assert boundary_f(square(100, 10, 80, 4), truth) == 0.0


def test_boundary_precision_and_recall_differ():
    # Two true squares, one found: precision 1, recall 1/2, F 2/3.
    truth = square(100, 10, 10, 4) | square(100, 80, 80, 4)
    assert boundary_f(square(100, 10, 10, 4), truth) == pytest.approx(2 / 3)


def test_boundary_of_nothing():
    nothing, something = np.zeros((50, 50), bool), square(50, 10, 10, 5)
    assert boundary_f(nothing, nothing) is None
    assert boundary_f(nothing, something) == 0.0
    assert boundary_f(something, nothing) == 0.0
    assert boundary_f(~nothing, ~nothing) is None  # the image's edge is no boundary


def test_boundary_does_not_judge_what_is_not_known():
    truth, known = square(60, 20, 20, 20), np.ones((60, 60), bool)
    known[:, :30] = False
    wrong_on_the_left = truth.copy()
    wrong_on_the_left[0:10, 0:20] = True
    assert boundary_f(wrong_on_the_left, truth, known) == 1.0
    assert boundary_f(wrong_on_the_left, truth) < 1.0


def test_hausdorff_by_hand():
    # 100x100, a 4x4 square moved right by 3: the far columns are 3 apart, and every way is at most that.
    truth = square(100, 40, 40, 4)
    assert compare_outlines(truth, truth)[1:] == (0.0, 0.0)
    assert compare_outlines(square(100, 40, 43, 4), truth).hausdorff == 3.0
    # A pixel far away from a square of 21 with 80 boundary pixels is one of 81: the maximum sees it, the 95 % do not.
    large = square(100, 40, 20, 21)
    assert compare_outlines(large | square(100, 40, 90, 1), large)[1:] == (50.0, 0.0)
    # Of nothing against something the distance has no bound; the diagonal is taken.
    assert compare_outlines(truth & False, truth) == (0.0, math.hypot(100, 100), math.hypot(100, 100))


@settings(deadline=None)
@given(masks, masks)
def test_hausdorff_is_that_of_scipy(prediction, truth):
    known = np.ones_like(truth)
    a, b = (np.argwhere(boundary_pixels(m, known)) for m in (prediction, truth))
    if len(a) and len(b):
        expected = max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0])
        outline = compare_outlines(prediction, truth)
        assert outline.hausdorff == pytest.approx(expected, abs=1e-4)
        assert outline.hausdorff_95 <= outline.hausdorff


def test_narrow_unknown_areas_are_bridged_and_wide_ones_are_not():
    # 12x12: diagonal 17, tolerance 0.05: 1 pixel. A gap of 2 is closed in its middle, a gap of 3 or more is not,
    # nor is the one at the edge, which goes on outside.
    ids = np.array([[1, 1, 9, 9, 2, 2, 9, 9, 9, 1, 1, 9]] * 12)
    filled, known = bridge(ids, ids != 9, tolerance=0.05)
    assert filled[5].tolist() == [1, 1, 1, 2, 2, 2, 9, 9, 9, 1, 1, 9]
    assert known[5].tolist() == [True] * 6 + [False] * 3 + [True] * 2 + [False]
    everything = np.ones_like(ids, bool)
    assert bridge(ids, everything)[0] is ids


@settings(deadline=None)
@given(masks, masks)
def test_a_wider_tolerance_never_lowers_the_boundary_score(prediction, truth):
    narrow, wide = (boundary_f(prediction, truth, tolerance=t) for t in (0.01, 0.3))
    assert (narrow is None) == (wide is None)
    assert narrow is None or narrow <= wide
