"""Compositing: no halo, no fringe, no arithmetic drift, and nothing of the room before there is a matte."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.runtime.backgrounds import Blurred
from edgeseg.runtime.composite import blend, clean_room, masked_blur, veil

WALL, SHIRT = (60, 120, 60), (40, 40, 230)


def person_before_wall(size: tuple[int, int] = (720, 1280)) -> tuple[np.ndarray, np.ndarray]:
    """A red disc before a green wall, and its true alpha."""
    h, w = size
    alpha = np.zeros(size, np.uint8)
    cv2.circle(alpha, (w // 2, h // 2), h // 4, 255, -1)
    frame = np.empty((h, w, 3), np.uint8)
    frame[:] = WALL
    frame[alpha > 0] = SHIRT
    return frame, alpha


def red_in_ring(background: np.ndarray, alpha: np.ndarray, width: int = 20) -> float:
    """How much of the way from wall to shirt the red goes in the ring of `width` px around the person, 0..1."""
    ring = (cv2.dilate(alpha, np.ones((2 * width + 1,) * 2, np.uint8)) > 0) & (alpha == 0)
    return float((background[ring][:, 2].astype(float) - WALL[2]).mean() / (SHIRT[2] - WALL[2]))


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("tight_px", [0, 6])
def test_the_blur_takes_no_colour_from_the_person(strength: float, tight_px: int) -> None:
    frame, alpha = person_before_wall()
    matte = cv2.erode(alpha, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tight_px + 1,) * 2)) if tight_px else alpha
    out = np.empty_like(frame)
    Blurred(strength).draw(frame, matte, 0.0, out)
    assert red_in_ring(out, alpha) < 0.01
    plain = cv2.GaussianBlur(frame, (0, 0), 20)
    assert red_in_ring(plain, alpha) > 0.1  # the measure sees a halo where there is one


def test_a_hole_in_the_matte_shows_room_not_black() -> None:
    frame, alpha = person_before_wall()
    full = np.full_like(alpha, 255)
    full[:, :100] = 0  # room is seen at the far left only
    out = np.empty_like(frame)
    Blurred(0.5).draw(frame, full, 0.0, out)
    assert np.abs(out[360, 1200].astype(int) - WALL).max() <= 3


@pytest.mark.parametrize("value", [0, 255])
def test_a_flat_frame_stays_flat_whatever_the_matte(value: int) -> None:
    frame = np.full((90, 160, 3), (10, 128, 250), np.uint8)
    alpha = np.full((90, 160), value, np.uint8)
    assert np.abs(masked_blur(frame, alpha, 3.0, 1.0).astype(int) - frame).max() <= 1


def test_the_blur_is_a_blur_once() -> None:
    # A step of 200 blurred by sigma rises by 200 erf(4.5 / (sigma sqrt 2)) over its middle nine pixels: 76 for a sigma of 9
    # (70 for three boxes of 19 in its place), and 55 if it were blurred twice.
    frame = np.zeros((64, 256, 3), np.uint8)
    frame[:, 128:] = 200
    blurred = masked_blur(frame, np.zeros((64, 256), np.uint8), 9.0, 1.0)[32, :, 0].astype(float)
    assert blurred[132] - blurred[123] == pytest.approx(73, abs=8)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 80), st.integers(1, 80), st.booleans(), st.integers(0, 2**32 - 1))
def test_blend_is_the_formula(h: int, w: int, keyed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame, under = rng.integers(0, 256, (2, h, w, 3), np.uint8)
    alpha = rng.choice(np.array([0, 0, 255, 100, 200], np.uint8), (h, w))
    room = np.full((1, 1, 3), 77, np.uint8)
    out = under.copy()
    blend(frame, alpha, out, room if keyed else None)
    a = alpha[..., None] / 255
    person = np.clip(frame - (1 - a) * 77, 0, 255 * a) if keyed else a * frame
    assert np.abs(out - (person + (1 - a) * under)).max() <= 1.6
    assert (out[alpha == 0] == under[alpha == 0]).all()
    assert (out[alpha == 255] == frame[alpha == 255]).all()


def test_a_bright_room_leaves_no_fringe_before_a_dark_background() -> None:
    # A black person before a white wall, with a true soft edge: I = alpha F + (1 - alpha) B.
    ramp = np.clip((np.arange(320) - 150) / 20, 0, 1)
    frame = np.repeat(np.rint(255 * (1 - ramp))[None, :, None], 180, axis=0).repeat(3, axis=2).astype(np.uint8)
    alpha = np.repeat(np.rint(255 * ramp)[None], 180, axis=0).astype(np.uint8)
    black = np.zeros_like(frame)
    plain, keyed = black.copy(), black.copy()
    blend(frame, alpha, plain)
    blend(frame, alpha, keyed, clean_room(frame, alpha))
    assert plain.max() > 60  # a quarter of the wall shines through half-way
    assert keyed.max() <= 8


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (479, 641), (640, 360)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    frame = np.full((*size, 3), 50, np.uint8)
    out = np.zeros_like(frame)
    alpha = np.full(size, 128, np.uint8)
    Blurred(0.5).draw(frame, alpha, 0.0, out)
    blend(frame, alpha, out, clean_room(frame, alpha))
    assert np.abs(out.astype(int) - 50).max() <= 2


def test_the_veil_hides_everything_but_light_and_colour() -> None:
    rng = np.random.default_rng(0)
    frame = cv2.resize(rng.integers(0, 256, (60, 80, 3), np.uint8), (640, 480), interpolation=cv2.INTER_NEAREST)
    out = np.empty_like(frame)
    veil(frame, out)
    detail = frame.astype(float) - cv2.GaussianBlur(frame, (0, 0), 20).astype(float)
    left = out.astype(float) - cv2.GaussianBlur(out, (0, 0), 20).astype(float)
    assert left.std() < 0.05 * detail.std()
    assert abs(out.mean() - frame.mean()) < 3
