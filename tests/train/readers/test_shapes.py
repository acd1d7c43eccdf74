"""A pixel belongs to a shape where its centre does; run lengths fill their mask exactly."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.train.readers import rle, shapes
from edgeseg.train.readers.base import ItemError


def drawn(draw, *arguments, size=(4, 5)):
    mask = shapes.canvas(*size)
    draw(mask, *arguments)
    return ["".join(".#"[v] for v in row) for row in mask.astype(int)]


CASES = [
    # the square from (1, 1) to (3, 3) holds the centres (1.5, 1.5) to (2.5, 2.5)
    ("square", shapes.polygon, ([1, 1, 3, 1, 3, 3, 1, 3],), [".....", ".##..", ".##..", "....."]),
    ("square, other way round", shapes.polygon, ([[1, 1], [1, 3], [3, 3], [3, 1]],), [".....", ".##..", ".##..", "....."]),
    # y <= 4 - x: centres (0.5, 0.5) to (3.5, 0.5) in the first row, one less in each; the centre on the edge is outside
    ("triangle", shapes.polygon, ([0, 0, 4, 0, 0, 4],), ["###..", "##...", "#....", "....."]),
    # a frame and a hole in one line: even-odd leaves the middle out
    (
        "ring",
        shapes.polygon,
        ([0, 0, 5, 0, 5, 4, 0, 4, 0, 0, 1, 1, 4, 1, 4, 3, 1, 3, 1, 1],),
        ["#####", "#...#", "#...#", "#####"],
    ),
    ("beyond all sides", shapes.polygon, ([-9, -9, 99, -9, 99, 99, -9, 99],), ["#####"] * 4),
    ("outside", shapes.polygon, ([-9, -9, -1, -9, -1, -1],), ["....."] * 4),
    ("too thin for a centre", shapes.polygon, ([0, 1.6, 5, 1.6, 5, 2.4, 0, 2.4],), ["....."] * 4),
    ("rectangle", shapes.rectangle, ((3, 3), (1, 1)), [".....", ".##..", ".##..", "....."]),
    # 4 wide and 1.8 high about (2.5, 2): after a quarter turn it reaches from x = 1.6 to 3.4
    ("turned", shapes.rectangle, ((0.5, 1.1), (4.5, 2.9), 90.0), ["..#..", "..#..", "..#..", "..#.."]),
    # radius 1.6 about (2.5, 2): centres at distances (0.5, 0), (0.5, 1), (1.5, 0), (1.5, 1): 0.5, 1.12, 1.58, 1.80
    ("circle", shapes.ellipse, ((2.5, 2), (1.6, 1.6)), ["..#..", ".###.", ".###.", "..#.."]),
    ("ellipse", shapes.ellipse, ((2.5, 2), (2.1, 0.6)), [".....", ".###.", ".###.", "....."]),
    ("ellipse, turned", shapes.ellipse, ((2.5, 2), (2.1, 0.6), math.pi / 2), ["..#..", "..#..", "..#..", "..#.."]),
    ("line", shapes.stroke, ([[0, 1.5], [5, 1.5]],), [".....", "#####", ".....", "....."]),
]


@pytest.mark.parametrize(("draw", "arguments", "rows"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_pixels_whose_centre_is_inside(draw, arguments, rows):
    assert drawn(draw, *arguments) == rows


REFUSED = [
    (shapes.polygon, ([0, 0, 1, 1],), "2 points"),
    (shapes.polygon, ([0, 0, 1, 1, 2],), "2.5 points"),
    (shapes.polygon, (None,), "coordinates"),
    (shapes.polygon, (["a"] * 6,), "no numbers"),
    (shapes.polygon, ([0, 0, 1, 1, 2, math.nan],), "infinite"),
    (shapes.polygon, ([0, 0, 1, 1, 2, 1e300],), "far outside"),
    (shapes.polygon, ([0] * 200_002,), "200002 coordinates"),
    (shapes.polygon, ([10**400] * 6,), "no numbers"),
    (shapes.rectangle, ((0, 0), (1,)), "1 numbers"),
    (shapes.ellipse, ((0, 0), (0, 1)), "radii 0 and 1"),
    (shapes.stroke, ([[0, 0]],), "1 points"),
]


@pytest.mark.parametrize(("draw", "arguments", "needle"), REFUSED)
def test_shapes_that_cannot_be_drawn(draw, arguments, needle):
    with pytest.raises(ItemError, match=needle) as caught:
        drawn(draw, *arguments)
    assert caught.value.reason == "broken annotations"


@pytest.mark.parametrize("size", [(0, 4), (-1, 4), (10**5, 10**5), (2.5, 4), ("4", 4), (True, 4), (None, None)])
def test_sizes_that_are_none(size):
    with pytest.raises(ItemError, match="pixels"):
        shapes.canvas(*size)


coordinate = st.floats(-20, 30, allow_nan=False)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=8))
def test_a_polygon_stays_within_its_bounds(points):
    mask = shapes.canvas(9, 7)
    shapes.polygon(mask, points)
    y, x = np.nonzero(mask)
    xs, ys = zip(*points, strict=True)
    assert mask.shape == (9, 7)
    assert ((x + 0.5 >= min(xs)) & (x + 0.5 <= max(xs)) & (y + 0.5 >= min(ys)) & (y + 0.5 <= max(ys))).all()


@given(st.integers(0, 6), st.integers(0, 6), st.integers(1, 6), st.integers(1, 6))
def test_rectangles_of_whole_numbers_are_slices(x, y, width, height):
    mask, expected = shapes.canvas(8, 8), shapes.canvas(8, 8)
    shapes.rectangle(mask, (x, y), (x + width, y + height))
    expected[y : y + height, x : x + width] = True
    assert (mask == expected).all()


masks = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.lists(st.booleans(), min_size=size[0] * size[1], max_size=size[0] * size[1]).map(
        lambda bits: np.array(bits).reshape(size)
    )
)


@given(masks)
def test_run_lengths_there_and_back(mask):
    runs = rle.to_runs(mask)
    height, width = mask.shape
    assert (rle.decode({"size": [height, width], "counts": runs}, height, width) == mask).all()
    assert (rle.decode({"size": [height, width], "counts": rle.compress(runs)}, height, width) == mask).all()


@given(st.lists(st.integers(0, 1 << 40), max_size=20))
def test_compressed_run_lengths_there_and_back(runs):
    assert rle.decompress(rle.compress(runs)) == runs


def test_compressed_run_lengths_by_hand():
    # 6 is one group 00110: "6". 40 is 01000 and 00001: "0" + (8 | 32) = "X", then "1".
    # The fourth, 5, is stored as its difference to the second, 40: -35 = ...1 11101 with 29 | 32 = 61 "m", then 11110 = 30 "N".
    assert rle.compress([6, 40, 6, 5]) == "6X16mN"
    assert rle.decompress("6X16mN") == [6, 40, 6, 5]


def test_run_lengths_go_down_the_columns():
    # 2x3: one zero, two ones, three zeros, from the top of the first column
    mask = rle.decode({"size": [2, 3], "counts": [1, 2, 3]}, 2, 3)
    assert mask.astype(int).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert shapes.from_runs([1, 2, 3], 2, 3, by_columns=False).astype(int).tolist() == [[0, 1, 1], [0, 0, 0]]


BROKEN = [
    ({"size": [2, 3], "counts": [1, 2]}, "do not fill"),
    ({"size": [2, 3], "counts": [7]}, "do not fill"),
    ({"size": [2, 3], "counts": [-1, 7]}, "do not fill"),
    ({"size": [2, 3], "counts": [2**62, 2**62, 2**62, 2**62, 6]}, "do not fill"),
    ({"size": [2, 3], "counts": ["x"]}, "no numbers"),
    ({"size": [2, 3], "counts": [10**30]}, "no numbers"),
    ({"size": [3, 2], "counts": [6]}, "not 2x3"),
    ({"size": 6, "counts": [6]}, "not 2x3"),
    ({"size": [2, 3]}, "without counts"),
    ({"size": [2, 3], "counts": "\x00"}, "run-length string"),
    ({"size": [2, 3], "counts": "oooooooooooooooooooo"}, "run-length string"),
    ({"size": [2, 3], "counts": "o"}, "cut off"),
    (None, "not 2x3"),
]


@pytest.mark.parametrize(("value", "needle"), BROKEN)
def test_run_lengths_that_cannot_be_read(value, needle):
    with pytest.raises(ItemError, match=needle):
        rle.decode(value, 2, 3)
