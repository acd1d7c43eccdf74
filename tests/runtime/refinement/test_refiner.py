"""The matte on its way to full size: sizes, edges, flatness, shape."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.errors import UsageError
from edgeseg.runtime import Refinement, refine
from edgeseg.runtime.refinement.refiner import Edges, Refiner, plane_size, smoothstep

pytestmark = pytest.mark.usefixtures("way")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 64), st.integers(1, 64), st.sampled_from([0.0, 1.0]))
def test_any_size_gives_the_frames_size_and_a_flat_matte_stays_flat(h: int, w: int, mh: int, mw: int, value: float) -> None:
    rng = np.random.default_rng(h * 701 + w)
    frame = rng.integers(0, 256, (h, w, 3), np.uint8)
    alpha = refine(frame, np.full((mh, mw), value, np.float32))
    assert alpha.shape == (h, w)
    assert alpha.dtype == np.uint8
    assert (alpha == 255 * value).all()  # an empty room is not stretched into noise


@pytest.mark.parametrize(
    ("size", "plane"),
    [((720, 1280), (180, 320)), ((1280, 720), (320, 180)), ((480, 640), (180, 240)), ((90, 100), (90, 100)), ((1, 1), (1, 1))],
)
def test_the_plane_is_at_most_320_by_180(size: tuple[int, int], plane: tuple[int, int]) -> None:
    assert plane_size(*size) == plane


@pytest.mark.parametrize("edges", ["guided", "bilateral"])
def test_the_edge_moves_to_where_the_picture_has_it(edges: Edges) -> None:
    # The picture's edge is at column 328; the matte, 64 columns for 640, has it at 320: most of a column too far left.
    frame = np.full((360, 640, 3), 200, np.uint8)
    frame[:, :328] = 60
    matte = np.zeros((64, 64), np.float32)
    matte[:, :32] = 1
    assert ((refine(frame, matte, Refinement("plain")) > 127).sum(axis=1) == 320).all()
    assert np.abs((refine(frame, matte, Refinement(edges)) > 127).sum(axis=1) - 328).max() <= 3


def test_a_slanted_edge_has_no_stairs() -> None:
    # On a flat frame nothing guides: the edge must come out straight from the soft coarse matte alone.
    y, x = np.mgrid[:64, :64] + 0.5
    matte = np.clip((x - 0.3 * y - 20) / 1.5 + 0.5, 0, 1).astype(np.float32)
    alpha = refine(np.full((640, 640, 3), 128, np.uint8), matte)
    rows = np.arange(100, 540)
    edge = np.array([np.interp(127.5, alpha[row, 100:500].astype(float), np.arange(100, 500)) for row in rows])
    line = np.polyval(np.polyfit(rows, edge, 1), rows)
    assert np.abs(edge - line).max() < 1.0  # pixels, where one of the matte's is ten


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.25, 0.0), (0.5, 0.5), (0.75, 1.0), (1.0, 1.0), (0.375, 0.15625)])
def test_smoothstep_by_hand(x: float, y: float) -> None:
    assert smoothstep(np.array(x)) == pytest.approx(y)  # 0.375 is a quarter of the way: 3/16 - 2/64


@pytest.mark.parametrize("size", [(1, 1), (4, 1), (1, 4), (2, 3), (479, 641), (720, 1280), (1280, 720), (361, 641)])
def test_finishing_is_enlarging_and_the_step(size: tuple[int, int], way: str) -> None:
    # Done in the costly way: everywhere, and by the formula.
    rng = np.random.default_rng(size[0])
    rows, columns = plane_size(*size)
    blob = np.zeros((rows, columns), np.uint8)
    blob[rows // 4 : rows // 2 + 1, columns // 3 : columns // 2 + 1] = 255
    out = rng.integers(0, 256, size, np.uint8)  # what an earlier frame has left
    for plane in (blob, rng.integers(0, 256, (rows, columns), np.uint8), np.zeros_like(blob), np.full_like(blob, 255)):
        refiner = Refiner()
        chunks = refiner.finish(plane, out)
        full = cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR).reshape(size)
        expected = np.rint(255 * smoothstep(full / 255)).astype(np.uint8)
        if way == "native":  # it rounds less on the way
            assert np.abs(out.astype(int) - expected).max() <= 6
            continue
        np.testing.assert_array_equal(out, expected)
        assert chunks is not None
        mixed = np.flatnonzero((expected > 0) & (expected < 255)) // 8
        assert set(mixed[mixed < size[0] * size[1] // 8]) <= set(chunks.indices)
        np.testing.assert_array_equal(refiner.step(plane), np.rint(255 * smoothstep(plane / 255)))


def test_the_shape_is_changed_on_the_plane() -> None:
    frame = np.full((180, 320, 3), 90, np.uint8)
    matte = np.zeros((180, 320), np.float32)
    matte[60:120, 100:200] = 1
    area = [int((refine(frame, matte, Refinement("plain", growth=growth)) > 127).sum()) for growth in (-5, 0, 5)]
    assert area == [50 * 90, 60 * 100, 70 * 110 - 4 * CORNER]


CORNER = 0 + 0 + 1 + 2 + 5  # pixels of a 5 x 5 corner outside of a disc of radius 5, row by row: 5 - sqrt(25 - y^2), rounded


@pytest.mark.parametrize("bad", [{"edges": "sharp"}, {"opening": -1}, {"closing": 21}, {"growth": -21}])
def test_what_cannot_be_done_to_a_matte_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Refinement(**bad)
