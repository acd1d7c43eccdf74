"""The matte on its way to full size: sizes, edges, flatness, and what happens in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.runtime import Smoother, SyntheticCamera, refine
from edgeseg.runtime.refine import enlarge, finish, guided_filter, plane_size, smoothstep


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


def test_the_edge_moves_to_where_the_picture_has_it() -> None:
    # The picture's edge is at column 328; the matte, 64 columns for 640, has it at 320: most of a column too far left.
    frame = np.full((360, 640, 3), 200, np.uint8)
    frame[:, :328] = 60
    matte = np.zeros((64, 64), np.float32)
    matte[:, :32] = 1
    unguided = finish(enlarge(matte, plane_size(360, 640)), (360, 640))
    assert ((unguided > 127).sum(axis=1) == 320).all()
    assert np.abs((refine(frame, matte, radius=8) > 127).sum(axis=1) - 328).max() <= 2


def test_a_slanted_edge_has_no_stairs() -> None:
    # On a flat frame nothing guides: the edge must come out straight from the soft coarse matte alone.
    y, x = np.mgrid[:64, :64] + 0.5
    matte = np.clip((x - 0.3 * y - 20) / 1.5 + 0.5, 0, 1).astype(np.float32)
    alpha = refine(np.full((640, 640, 3), 128, np.uint8), matte)
    rows = np.arange(100, 540)
    edge = np.array([np.interp(127.5, alpha[row, 100:500].astype(float), np.arange(100, 500)) for row in rows])
    line = np.polyval(np.polyfit(rows, edge, 1), rows)
    assert np.abs(edge - line).max() < 1.0  # pixels, where one of the matte's is ten


def test_guided_filter_of_a_matte_that_is_a_colour_of_the_guide_returns_it() -> None:
    # q = a . I + b can represent it exactly, so only eps stands between.
    rng = np.random.default_rng(1)
    smooth = np.kron(rng.integers(0, 2, (8, 8)), np.ones((16, 16)))
    guide = np.stack([smooth * 200, np.full_like(smooth, 90), 255 - smooth * 100], axis=-1).astype(np.uint8)
    q = guided_filter(guide, smooth.astype(np.float32), radius=6, eps=1e-4)
    error = np.abs(q - smooth)
    assert error.max() < 0.1  # a plain blur of that width has 0.5
    assert error.mean() < 0.01


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.25, 0.0), (0.5, 0.5), (0.75, 1.0), (1.0, 1.0), (0.375, 0.15625)])
def test_smoothstep_by_hand(x: float, y: float) -> None:
    assert smoothstep(np.array(x)) == pytest.approx(y)  # 0.375 is a quarter of the way: 3/16 - 2/64


STILL = np.full((90, 160, 3), 120, np.uint8)


def test_an_alternating_matte_on_a_still_picture_is_steadied() -> None:
    smoother = Smoother()
    outputs = [float(smoother(STILL, np.full((8, 8), index % 2, np.float32)).mean()) for index in range(60)]
    assert max(outputs[40:]) - min(outputs[40:]) < 0.4  # 1.0 if the buffer were aliased and nothing happened
    assert np.mean(outputs[40:]) == pytest.approx(0.5, abs=0.05)


def test_smoothing_by_hand() -> None:
    smoother = Smoother(keep=0.75)
    zero, one = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    means = [float(smoother(STILL, matte).mean()) for matte in (zero, one, one, zero)]
    assert means == pytest.approx([0, 0.25, 0.4375, 0.328125])  # s += (m - s) / 4


def test_the_callers_arrays_are_neither_changed_nor_kept() -> None:
    smoother = Smoother(keep=0.5)
    first = smoother(STILL, np.zeros((4, 4), np.float32))
    first[:] = 9  # a caller may do what it likes with its result
    matte = np.ones((4, 4), np.float32)
    second = smoother(STILL, matte)
    assert (second == 0.5).all()
    assert (matte == 1).all()


def test_what_moves_is_followed_at_once() -> None:
    camera = SyntheticCamera((180, 320))
    smoother = Smoother()
    for index in range(3):
        frame = camera.frame(index)
        truth = np.ascontiguousarray(camera.alpha(index)[::4, ::4]).astype(np.float32) / 255
        steady = smoother(frame, truth)
    assert np.abs(steady - truth).mean() < 0.01  # a mask that lags by one frame is off by 0.02
    late = np.ascontiguousarray(camera.alpha(1)[::4, ::4]).astype(np.float32) / 255
    assert np.abs(late - truth).mean() > 0.015


def test_reset_forgets() -> None:
    smoother = Smoother()
    smoother(STILL, np.zeros((4, 4), np.float32))
    smoother.reset()
    assert (smoother(STILL, np.ones((4, 4), np.float32)) == 1).all()
