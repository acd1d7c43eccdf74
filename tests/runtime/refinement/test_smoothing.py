"""The matte in time: flicker is steadied, motion is followed, and nothing is aliased."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.errors import UsageError
from edgeseg.runtime import Smoother, SyntheticCamera

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


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_frames_in_between_count(frames: int) -> None:
    """One call that stands for n frames leaves as much of the past as n calls do."""
    zero, one = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    often, seldom = Smoother(keep=0.7), Smoother(keep=0.7)
    often(STILL, zero)
    seldom(STILL, zero)
    for _ in range(frames):
        expected = often(STILL, one)
    assert seldom(STILL, one, frames).mean() == pytest.approx(expected.mean(), abs=1e-6)
    assert expected.mean() == pytest.approx(1 - 0.7**frames, abs=1e-6)


def test_an_ema_smooths_what_moves_too() -> None:
    ema = Smoother(keep=0.5, motion=float("inf"))
    zero, one = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    assert [float(ema(frame, m).mean()) for frame, m in ((STILL, zero), (STILL + 90, one), (STILL, one))] == [0, 0.5, 0.75]


@pytest.mark.parametrize("keep", [-0.1, 1.1])
def test_a_share_outside_of_0_to_1_is_refused(keep: float) -> None:
    with pytest.raises(UsageError, match="of the past"):
        Smoother(keep)


@pytest.mark.parametrize(
    ("moved_bytes", "kept"),
    [
        (0, 0.7),
        (3, 0.7 * (1 - 3 / 7.65)),  # 3 % of 255 are 7.65 bytes: full motion
        (7, 0.7 * (1 - 7 / 7.65)),
        (8, 0.0),
    ],
)
def test_how_much_is_kept_by_how_much_has_moved(moved_bytes: int, kept: float) -> None:
    smoother = Smoother(keep=0.7, motion=0.03)
    luma = np.full((4, 4), 100, np.uint8)
    smoother(luma, np.ones((4, 4), np.float32))
    assert smoother(luma + np.uint8(moved_bytes), np.zeros((4, 4), np.float32)) == pytest.approx(kept, abs=1e-6)


def test_the_frame_before_is_kept_and_not_the_callers_array() -> None:
    smoother = Smoother(keep=0.5)
    luma = np.full((4, 4), 100, np.uint8)  # already of the matte's size
    smoother(luma, np.zeros((4, 4), np.float32))
    luma[:] = 200  # the caller's buffer holds the next frame
    assert (smoother(luma, np.ones((4, 4), np.float32)) == 1).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0.01, 1), st.integers(1, 6))
def test_what_comes_out_lies_between_the_past_and_the_present(seed: int, keep: float, motion: float, frames: int) -> None:
    rng = np.random.default_rng(seed)
    smoother = Smoother(keep, motion)
    before = smoother(rng.integers(0, 256, (9, 12), np.uint8), rng.random((6, 8), np.float32))
    now = rng.random((6, 8), np.float32)
    after = smoother(rng.integers(0, 256, (9, 12), np.uint8), now, frames)
    assert (after >= np.minimum(before, now) - 1e-6).all()
    assert (after <= np.maximum(before, now) + 1e-6).all()
