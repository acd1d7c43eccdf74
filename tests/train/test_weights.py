from __future__ import annotations

import math

import numpy as np
import pytest

from edgeseg.errors import UsageError
from edgeseg.train.weights import class_weights, enet_weights, median_frequency, shares_of


def test_shares_by_hand() -> None:
    assert shares_of([3, 1, 0]).tolist() == [0.75, 0.25, 0.0]
    assert shares_of([0, 0]).tolist() == [0.0, 0.0]
    # Two pictures of 100 pixels: road 80 + 60, car 20 in the first only, a class that never appears.
    assert shares_of([140, 20, 0], [200, 100, 0]).tolist() == [0.7, 0.2, 0.0]


def test_enet_by_hand() -> None:
    assert enet_weights(np.array([0.5, 0.0])).tolist() == pytest.approx([1 / math.log(1.52), 1 / math.log(1.02)])


def test_median_frequency_by_hand() -> None:
    """Shares 0.1, 0.2 and 0.4 have the median 0.2; the fourth class is absent."""
    assert median_frequency(np.array([0.1, 0.2, 0.4, 0.0])).tolist() == pytest.approx([2, 1, 0.5, 0])
    assert median_frequency(np.zeros(3)).tolist() == [0, 0, 0]


def test_of_pictures_by_hand() -> None:
    """Two pictures of 10 pixels; class 1 is in the first only, with 2 of its 10. Class 0 has 18 of 20."""
    counts = [np.array([8, 2, 0]), np.array([10, 0, 0])]
    assert class_weights("none", counts) == ()
    expected = [1 / math.log(1.02 + s) for s in (0.9, 0.1, 0.0)]
    assert class_weights("enet", counts) == pytest.approx(expected, abs=1e-4)
    assert class_weights("median", counts) == pytest.approx([0.55 / 0.9, 0.55 / 0.2, 0], abs=1e-4)


def test_unknown_weights_are_named() -> None:
    with pytest.raises(UsageError, match="'inverse'; there are: none, enet, median"):
        class_weights("inverse", [])
