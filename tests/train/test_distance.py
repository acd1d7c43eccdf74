"""Expected values are worked out by hand in the comments."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as npst
from scipy import ndimage

from edgeseg.train.distance import distance_to, nearest_known, separation, signed_distance

masks = npst.arrays(np.bool_, (7, 9))


def test_signed_distance_by_hand():
    assert signed_distance(np.array([[0, 0, 1, 1, 1]], bool)).tolist() == [[1.5, 0.5, -0.5, -1.5, -2.5]]
    corner = signed_distance(np.array([[1, 0], [0, 0]], bool))
    assert corner.flatten().tolist() == pytest.approx([-0.5, 0.5, 0.5, math.sqrt(2) - 0.5])


@pytest.mark.parametrize("value", [True, False])
def test_without_a_border_it_is_zero(value):
    assert (signed_distance(np.full((3, 4), value)) == 0).all()


@given(masks)
def test_distances_are_those_of_scipy(mask):
    if mask.any():
        assert distance_to(mask) == pytest.approx(ndimage.distance_transform_edt(~mask), abs=1e-5)
    if mask.any() and not mask.all():
        assert signed_distance(~mask) == pytest.approx(-signed_distance(mask), abs=1e-5)


def test_nearest_known_by_hand():
    ids = np.array([[7, 9, 9, 9, 9, 3]])
    assert nearest_known(ids, ids != 9).tolist() == [[7, 7, 7, 3, 3, 3]]
    assert nearest_known(ids, ids >= 0) is ids
    assert nearest_known(ids, ids < 0).tolist() == [[0] * 6]


@given(masks, masks)
def test_what_is_known_stays(ids, known):
    filled = nearest_known(ids, known)
    assert (filled[known] == ids[known]).all()


def test_separation_by_hand():
    # Cells at 0 and 4, background 0: between them d1 + d2 = 4; on a cell 1 to its own border and 4 to the other's.
    weight = separation(np.array([[1, 0, 0, 0, 1]]), 5, background=0)[0]
    assert weight.tolist() == pytest.approx([math.exp(-25 / 50), *[math.exp(-16 / 50)] * 3, math.exp(-25 / 50)])
    # Two classes side by side are two cells: beside their border 1 + 1, next to that 2 + 2.
    weight = separation(np.array([[3, 3, 5, 5]]), 5)[0]
    assert weight.tolist() == pytest.approx([math.exp(-d * d / 50) for d in (4, 2, 2, 4)])
    assert (separation(np.array([[0, 1, 1, 0]]), 5, background=0) == 0).all()
    assert (separation(np.ones((2, 2), int), 5) == 0).all()


@given(npst.arrays(np.uint8, (12, 14), elements={"min_value": 0, "max_value": 1}))
def test_separation_is_the_formula_within_its_reach(ids):
    """Against all distances to all cells, by scipy, for a sigma whose reach is smaller than the picture."""
    cells, count = ndimage.label(ids, np.ones((3, 3)))
    maps = [
        np.where(cells == i, ndimage.distance_transform_edt(cells == i), ndimage.distance_transform_edt(cells != i))
        for i in range(1, count + 1)
        if not (cells == i).all()
    ]
    nearest = np.sort([*maps, *[np.full(ids.shape, np.inf)] * 2], axis=0)
    expected = np.exp(-((nearest[0] + nearest[1]) ** 2) / 2)
    assert separation(ids, 1.0, background=0) == pytest.approx(expected, abs=4e-4)
