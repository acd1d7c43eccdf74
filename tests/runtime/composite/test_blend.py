"""Compositing: no halo, no fringe, no arithmetic drift, and nothing of the room before there is a matte."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.errors import UsageError
from edgeseg.runtime import Shot, Work
from edgeseg.runtime.buffers import Buffers
from edgeseg.runtime.composite.backgrounds import Blurred, Transparent
from edgeseg.runtime.composite.blend import blend, veil
from edgeseg.runtime.composite.bokeh import blur_disc, bytes_of, light_of
from edgeseg.runtime.composite.edge_colours import add_light, check_light_wrap, clean_room, cut_out, wrapped_light
from edgeseg.runtime.composite.masked_blur import Kind, blur_box, blur_gaussian, masked_blur

pytestmark = pytest.mark.usefixtures("way")

WALL, SHIRT = (60, 120, 60), (40, 40, 230)


KINDS: list[Kind] = ["gaussian", "box", "bokeh"]


def work_of(frame: np.ndarray, alpha: np.ndarray) -> Work:
    work = Work().load(Shot(frame, 0.0))
    work.alpha = alpha
    return work


def blurred(frame: np.ndarray, alpha: np.ndarray, strength: float = 0.5, kind: Kind = "gaussian") -> np.ndarray:
    work = work_of(frame, alpha)
    Blurred(strength, kind).draw(work)
    return work.out


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("tight_px", [0, 6])
def test_the_blur_takes_no_colour_from_the_person(strength: float, tight_px: int, kind: Kind) -> None:
    frame, alpha = person_before_wall()
    matte = cv2.erode(alpha, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tight_px + 1,) * 2)) if tight_px else alpha
    assert red_in_ring(blurred(frame, matte, strength, kind), alpha) < 0.002
    plain = cv2.GaussianBlur(frame, (0, 0), 20)
    assert red_in_ring(plain, alpha) > 0.1  # the measure sees a halo where there is one


def test_a_hole_in_the_matte_shows_room_not_black() -> None:
    frame, alpha = person_before_wall()
    full = np.full_like(alpha, 255)
    full[:, :100] = 0  # room is seen at the far left only
    assert np.abs(blurred(frame, full)[360, 1200].astype(int) - WALL).max() <= 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0, 100, 255])
def test_a_flat_frame_stays_flat_whatever_the_matte(value: int, kind: Kind) -> None:
    frame = np.full((90, 160, 3), (10, 128, 250), np.uint8)
    alpha = np.full((90, 160), value, np.uint8)
    assert np.abs(masked_blur(frame, alpha, 3.0, 1.0, kind).astype(int) - frame).max() <= 1


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.25, 4.9, 9.0, 14.0])
def test_the_blur_has_its_width_and_is_done_once(sigma: float) -> None:
    # The standard deviation of the response to a line, along one axis. Blurred twice it would be 1.41 times that.
    line = np.zeros((9, 257, 4), np.float32)
    line[:, 128] = 1000
    x = np.arange(257) - 128
    for blur, tolerance in ((blur_gaussian, 0.1), (blur_box, 0.2), (lambda p, s: blur_disc(p, 2 * s), 0.15)):
        if tolerance == 0.15 and sigma < 3:
            continue  # too few pixels for a disc: bokeh is made on pictures where it has five and more
        response = blur(line.copy(), sigma)[4, :, 0]
        assert response.sum() == pytest.approx(1000, rel=1e-3)
        assert np.sqrt((response * x**2).sum() / 1000) == pytest.approx(sigma, rel=tolerance)


def test_a_light_becomes_a_disc_and_keeps_its_light() -> None:
    frame = np.full((121, 121, 3), 20, np.uint8)
    frame[58:63, 58:63] = 255  # a lamp
    out = masked_blur(frame, np.zeros((121, 121), np.uint8), 10.0, 1.0, "bokeh").astype(int)  # radius 20
    row = out[60, :, 0]
    inside, outside = row[45:76], np.r_[row[:35], row[86:]]
    assert inside.min() > 60  # seen, where a Gaussian of that width leaves 20 + 235 * 25 / 628 = 29 at the best
    assert np.ptp(inside) <= 12  # as bright at its rim as in its middle: a disc, not a bell
    assert outside.max() <= 24
    y, x = np.nonzero(out[..., 0] > 45)
    assert np.ptp(y) == pytest.approx(np.ptp(x), abs=2)
    assert len(y) == pytest.approx(np.pi * 21**2, rel=0.12)  # round: a square of that width has a quarter more


def test_light_and_bytes_are_inverse() -> None:
    bytes_ = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    np.testing.assert_array_equal(bytes_of(light_of(bytes_)), bytes_)


@pytest.mark.parametrize("bad", [("gaussian", -0.1), ("gaussian", 1.1), ("cubic", 0.5)])
def test_a_blur_that_there_is_not_is_refused(bad: tuple[Kind, float]) -> None:
    with pytest.raises(UsageError):
        Blurred(bad[1], bad[0])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 80), st.integers(1, 80), st.booleans(), st.integers(0, 2**32 - 1))
def test_blend_is_the_formula(h: int, w: int, keyed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame, under = rng.integers(0, 256, (2, h, w, 3), np.uint8)
    alpha = rng.choice(np.array([0, 0, 255, 100, 200], np.uint8), (h, w))
    room = np.full((h, w, 3), 77, np.uint8)
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
    blend(frame, alpha, keyed, clean_room(work_of(frame, alpha), Buffers()))
    assert plain.max() > 60  # a quarter of the wall shines through half-way
    assert keyed.max() <= 8


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (479, 641), (640, 360)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    frame = np.full((*size, 3), 50, np.uint8)
    work = work_of(frame, np.full(size, 128, np.uint8))
    for kind in KINDS:
        Blurred(0.5, kind).draw(work)
        blend(frame, work.alpha, work.out, clean_room(work, Buffers()))
        assert np.abs(work.out.astype(int) - 50).max() <= 2


def test_the_veil_hides_everything_but_light_and_colour() -> None:
    rng = np.random.default_rng(0)
    frame = cv2.resize(rng.integers(0, 256, (60, 80, 3), np.uint8), (640, 480), interpolation=cv2.INTER_NEAREST)
    out = np.empty_like(frame)
    veil(frame, out)
    detail = frame.astype(float) - cv2.GaussianBlur(frame, (0, 0), 20).astype(float)
    left = out.astype(float) - cv2.GaussianBlur(out, (0, 0), 20).astype(float)
    assert left.std() < 0.05 * detail.std()
    assert abs(out.mean() - frame.mean()) < 3


def soft_disc(size: tuple[int, int] = (180, 320)) -> np.ndarray:
    """(h, w) alpha of a disc with a soft edge of 8 pixels."""
    y, x = np.ogrid[: size[0], : size[1]]
    distance = np.hypot(y - size[0] / 2, x - size[1] / 2)
    return np.rint(255 * np.clip((size[0] / 3 - distance) / 8 + 0.5, 0, 1)).astype(np.uint8)


def test_a_cut_out_person_has_her_own_colours_and_nothing_of_the_room() -> None:
    alpha = soft_disc()
    a = alpha[..., None] / 255
    frame = np.rint(a * SHIRT + (1 - a) * np.array(WALL)).astype(np.uint8)
    work = work_of(frame, alpha)
    cut_out(work, clean_room(work, Buffers()), Buffers())
    assert (work.out[alpha == 0] == 0).all()
    solid = alpha > 90  # below a third, a byte of rounding becomes three
    assert np.abs(work.out[solid].astype(int) - SHIRT).max() <= 12
    assert np.abs(frame[solid].astype(int) - SHIRT).max() > 90  # what would be seen without


def test_a_transparent_background_is_nothing() -> None:
    work = work_of(np.full((4, 5, 3), 99, np.uint8), np.zeros((4, 5), np.uint8))
    Transparent().draw(work)
    assert not work.out.any()


@pytest.mark.parametrize("amount", [0.0, 0.5, 1.0])
def test_light_wraps_around_the_edge_and_nowhere_else(amount: float) -> None:
    alpha = soft_disc()
    frame = np.full((180, 320, 3), 40, np.uint8)
    work = work_of(frame, alpha)
    work.out[:] = (0, 0, 200)  # red light behind
    buffers = Buffers()
    light = wrapped_light(work, amount, buffers)
    blend(frame, alpha, work.out, buffers=buffers)
    before = work.out.copy()
    add_light(work.out, light, buffers)
    gained = work.out[..., 2].astype(int) - before[..., 2]
    assert (work.out[..., :2] == before[..., :2]).all()  # of the background's colour only
    assert gained.min() >= 0
    near, deep, outside = gained[90, 160 + 54], gained[90, 160], gained[:, :90].max()
    assert (deep, outside) == (0, 0)
    assert near == pytest.approx(60 * amount, abs=25 * amount)


@pytest.mark.parametrize("amount", [-0.1, 1.1])
def test_light_wrap_outside_of_0_to_1_is_refused(amount: float) -> None:
    with pytest.raises(UsageError, match="within 0"):
        check_light_wrap(amount)
