"""Which constants are a repeated 2x2 corner."""

import numpy as np
import pytest

from edgeseg.export.patterns import LARGE, multiples, repeated_corner

ORDER = np.array([[4, 3], [2, 1]], np.int8)


def almost():
    values = np.tile(ORDER, (32, 32))
    values[63, 0] += 1
    return values


def zeros_of_both_signs():
    values = np.zeros((64, 64), np.float32)
    values[5, 5] = -0.0
    return values


SIDE = 64
assert ORDER.itemsize * SIDE * SIDE == LARGE
CASES = [  # values, the axis of rows, the corner
    ("a plane", np.tile(ORDER, (32, 32)), 0, ORDER),
    (
        "channels last",
        np.tile(ORDER[None, :, :, None] * np.int8([1, 5]), (1, 16, 64, 1)),
        1,
        ORDER[None, :, :, None] * np.int8([1, 5]),
    ),
    ("channels first", np.tile(ORDER.astype(np.float32)[None, None], (1, 1, 8, 128)), 2, ORDER.astype(np.float32)[None, None]),
    ("too small to matter", np.tile(ORDER, (32, 31)), 0, None),
    ("one byte differs", almost(), 0, None),
    ("equal numbers, other bits", zeros_of_both_signs(), 0, None),
    ("odd columns", np.full((64, 65), 7, np.int8), 0, None),
    ("odd rows", np.full((65, 64), 7, np.int8), 0, None),
    ("the corner is all there is", np.zeros((1, 2, 2, 4096), np.int8), 1, None),
    ("several kernels", np.zeros((2, 64, 64, 1), np.int8), 1, None),
    ("a vector", np.zeros(8192, np.int8), 0, None),
]


@pytest.mark.parametrize(("values", "rows", "corner"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_repeated_corner(values, rows, corner):
    found = repeated_corner(values, rows)
    if corner is None:
        assert found is None
    else:
        assert found.dtype == values.dtype
        assert np.array_equal(found, corner)
        assert np.array_equal(np.tile(found, multiples(values.shape, rows)), values)


def test_multiples():
    assert multiples((1, 180, 240, 3), 1) == (1, 90, 120, 1)
