"""When the network must look, and where its matte goes when it need not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeseg.errors import UsageError
from edgeseg.runtime import Blur, NullSession, Work
from edgeseg.runtime.arrays import Shot
from edgeseg.runtime.refinement.flow import Tracker, carry
from edgeseg.runtime.refinement.keyframes import LONGEST, Keyframes, Policy, difference

SIZE = (90, 160)
STILL = cv2.resize(np.random.default_rng(0).integers(40, 216, (12, 20), np.uint8), SIZE[::-1], interpolation=cv2.INTER_CUBIC)


def disc(x: float, y: float = 45, radius: float = 25) -> np.ndarray:
    """(64, 64) a matte with a soft disc, in pixels of the luma."""
    rows, columns = np.ogrid[:64, :64]
    distance = np.hypot((rows + 0.5) * 90 / 64 - y, (columns + 0.5) * 160 / 64 - x)
    return np.clip((radius - distance) / 4 + 0.5, 0, 1).astype(np.float32)


def moved(pixels: float, seed: int = 0, noise: float = 0.0) -> np.ndarray:
    """STILL moved to the right, with a sensor's noise."""
    shift = np.array([[1, 0, pixels], [0, 1, 0]], np.float32)
    frame = cv2.warpAffine(STILL, shift, SIZE[::-1], borderMode=cv2.BORDER_REFLECT)
    return np.clip(frame + np.random.default_rng(seed).normal(0, noise, SIZE), 0, 255).astype(np.uint8)


def share(frames: list[np.ndarray], mattes: list[np.ndarray], policy: Policy = "auto") -> float:
    """Of the frames that the network is asked for."""
    keyframes, asked = Keyframes(policy), 0
    for luma, matte in zip(frames, mattes, strict=True):
        keyframes.carried(luma)
        if keyframes.due:
            asked += 1
            keyframes.accept(matte.copy())
    return asked / len(frames)


@pytest.mark.parametrize(("policy", "expected"), [("every", 1.0), (1, 1.0), (3, 1 / 3), (60, 1 / 60)])
def test_a_number_is_kept_to_come_what_may(policy: Policy, expected: float) -> None:
    frames = [np.random.default_rng(index).integers(0, 256, SIZE, np.uint8) for index in range(60)]
    assert share(frames, [disc(80)] * 60, policy) == pytest.approx(expected)


def test_a_still_picture_is_looked_at_as_seldom_as_allowed() -> None:
    assert share([STILL] * 120, [disc(80)] * 120) == pytest.approx(1 / LONGEST, abs=0.06)


def test_so_it_is_in_the_noise_of_low_light() -> None:
    # Neighbouring frames differ by 5 sqrt(2) bytes everywhere, before the blur.
    frames = [moved(0, seed, noise=5) for seed in range(120)]
    assert share(frames, [disc(80)] * 120) == pytest.approx(1 / LONGEST, abs=0.06)


def test_what_flow_cannot_explain_is_looked_at_at_once() -> None:
    keyframes = Keyframes()
    for _ in range(20):
        keyframes.carried(STILL)
        if keyframes.due:
            keyframes.accept(disc(80))
    while keyframes.due:  # go on to a frame that is not due by itself
        keyframes.accept(disc(80))
        keyframes.carried(STILL)
    entered = STILL.copy()
    entered[20:90, 10:50] = 255 - entered[20:90, 10:50]
    assert keyframes.carried(entered) is None  # what was known is not to be trusted
    assert keyframes.due


def test_a_network_that_says_otherwise_each_time_is_asked_each_time() -> None:
    # The picture stands still and the mattes do not: carrying is seen to cost much.
    mattes = [disc(80, radius=25 + 4 * (index % 2)) for index in range(60)]
    assert share([STILL] * 60, mattes) > 0.9
    assert share([STILL] * 60, [disc(80)] * 60) < 0.3


def test_the_matte_goes_along_with_the_picture() -> None:
    keyframes = Keyframes(10)
    keyframes.carried(moved(0))
    keyframes.accept(disc(60))
    for step in range(1, 6):
        carried = keyframes.carried(moved(3 * step))
        assert carried is not None
        assert not keyframes.due
    assert difference(carried, disc(75)) < 0.2
    assert difference(disc(60), disc(75)) > 0.4  # what it would be if it stayed


def test_a_still_picture_keeps_its_matte_to_the_bit() -> None:
    keyframes = Keyframes(10)
    keyframes.carried(STILL)
    keyframes.accept(disc(60))
    for _ in range(5):
        np.testing.assert_array_equal(keyframes.carried(STILL), disc(60))


def test_reset_forgets() -> None:
    keyframes = Keyframes()
    keyframes.carried(STILL)
    keyframes.accept(disc(60))
    keyframes.reset()
    assert keyframes.carried(STILL) is None
    assert keyframes.due


def test_another_size_is_another_film() -> None:
    keyframes = Keyframes(10)
    keyframes.carried(STILL)
    keyframes.accept(disc(60))
    assert keyframes.carried(STILL[:80]) is None
    assert keyframes.due


@pytest.mark.parametrize("size", [(1, 1), (8, 160), (23, 40)])
def test_pictures_too_small_for_flow(size: tuple[int, int]) -> None:
    assert Tracker()(np.zeros(size, np.uint8), np.zeros(size, np.uint8)) is None
    frames = [np.full(size, 120 * (index % 2), np.uint8) for index in range(10)]
    assert share(frames, [disc(80)] * 10) == 1.0  # every change is news


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (4, 0), (0, -3), (-5, 2)])
def test_flow_says_where_a_pixel_was_and_carrying_goes_there(dx: int, dy: int) -> None:
    now = np.roll(STILL, (dy, dx), axis=(0, 1))
    flow = Tracker()(STILL, now)
    assert flow is not None
    inside = flow[15:-15, 15:-15].reshape(-1, 2)
    assert np.median(inside, axis=0) == pytest.approx([-dx, -dy], abs=0.4)
    shifted = carry(STILL, np.full((45, 80, 2), (-dx, -dy), np.float32) / 2)  # a flow of half the size
    np.testing.assert_array_equal(shifted[10:-10, 10:-10], now[10:-10, 10:-10])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (np.ones((10, 10)), np.ones((10, 10)), 0.0),
        (np.ones((10, 10)), np.zeros((10, 10)), 1.0),
        (np.eye(10), np.eye(10) * 0.5, 0.5),
        (np.zeros((10, 10)), np.zeros((10, 10)), 0.0),
        (np.zeros((10, 10)), np.full((10, 10), 0.01), 0.5),  # 1 of 100, against the 2 that count at the least
    ],
)
def test_difference_by_hand(a: np.ndarray, b: np.ndarray, expected: float) -> None:
    assert difference(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(expected)


@pytest.mark.parametrize("policy", [0, -1, "seldom", 2.5])
def test_an_unknown_policy_is_refused(policy: Policy) -> None:
    with pytest.raises(UsageError, match="auto, every"):
        Keyframes(policy)


def test_a_failure_shows_the_carried_matte_where_that_still_holds() -> None:
    """The network fails on its second look, at a picture that has not changed."""

    class Moody(NullSession):
        looks = 0

        def matte(self, frame: np.ndarray) -> np.ndarray:
            self.looks += 1
            if self.looks == 2:
                raise ValueError("driver gone")
            return super().matte(frame)

    session, work = Moody(), Work()
    blur = Blur(session, keyframes=2)
    hidden = []
    for index in range(4):
        blur.infer(work.load(Shot(np.full((180, 320, 3), 80, np.uint8), index / 30)))
        hidden.append(work.matte is None)
    assert (session.looks, hidden) == (3, [False] * 4)
    assert dict(blur.patience.failures) == {"infer": 1}
