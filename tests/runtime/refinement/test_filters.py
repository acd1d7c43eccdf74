"""The guided filter and joint bilateral up-sampling, against their formulas."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.runtime.refinement import bilateral
from edgeseg.runtime.refinement.bilateral import JointBilateral
from edgeseg.runtime.refinement.guided import EPS, RADIUS, STRIDE, GuidedFilter

pytestmark = pytest.mark.usefixtures("way")

Array = npt.NDArray[np.float64]


def guided_by_the_book(guide: npt.NDArray[np.uint8], matte: npt.NDArray[np.float32]) -> Array:
    """Equations 19 to 21, a linear system in every window, at every fourth pixel; in 0..255."""
    height, width = guide.shape[:2]
    grid = (max(1, width // STRIDE), max(1, height // STRIDE))
    colour = cv2.resize(guide, grid, interpolation=cv2.INTER_LINEAR).reshape(grid[1], grid[0], 3) / 255.0
    p = cv2.resize(matte, grid, interpolation=cv2.INTER_LINEAR).reshape(grid[::-1]).astype(float)
    r = round(RADIUS / STRIDE)
    colours, ps = (np.pad(x, [(r, r), (r, r)] + [(0, 0)] * (x.ndim - 2), mode="symmetric") for x in (colour, p))
    a, b = np.zeros((*p.shape, 3)), np.zeros(p.shape)
    for y, x in np.ndindex(p.shape):
        window = np.s_[y : y + 2 * r + 1, x : x + 2 * r + 1]
        i, q = colours[window].reshape(-1, 3), ps[window].ravel()
        covariance = np.cov(i.T, bias=True) + EPS * np.eye(3)
        a[y, x] = np.linalg.solve(covariance, (i * q[:, None]).mean(axis=0) - i.mean(axis=0) * q.mean())
        b[y, x] = q.mean() - a[y, x] @ i.mean(axis=0)
    mean = [cv2.blur(plane, (3, 3), borderType=cv2.BORDER_REFLECT) for plane in (*np.moveaxis(a, 2, 0), b)]
    *a_full, b_full = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in mean]
    q = b_full + sum(coefficient * guide[..., index] / 255 for index, coefficient in enumerate(a_full))
    return np.clip(255 * q, 0, 255)


@pytest.mark.parametrize("size", [(1, 1), (4, 1), (3, 7), (8, 8), (45, 61), (60, 80), (4, 120)])
def test_the_guided_filter_is_its_equations(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(size[1])
    guide = rng.integers(0, 256, (*size, 3), np.uint8)
    matte = rng.random((max(1, size[0] // 4), max(1, size[1] // 4)), np.float32)
    filter_ = GuidedFilter()
    for _ in range(2):  # a second time in its used buffers
        q = filter_(guide, matte)
        assert np.abs(q - guided_by_the_book(guide, matte)).max() < 2


def test_a_matte_that_is_a_colour_of_the_guide_comes_back() -> None:
    # q = a . I + b can represent it, so that only eps and the coarse grid stand between.
    rng = np.random.default_rng(1)
    blocks = np.kron(rng.integers(0, 2, (8, 8)), np.ones((16, 16)))
    guide = np.stack([blocks * 200, np.full_like(blocks, 90), 255 - blocks * 100], axis=-1).astype(np.uint8)
    error = np.abs(GuidedFilter(radius=6)(guide, blocks.astype(np.float32)) / 255 - blocks)
    assert error.max() < 0.15  # a plain blur of that width has 0.5
    assert error.mean() < 0.02


def test_joint_bilateral_by_the_sum() -> None:
    rng = np.random.default_rng(2)
    guide = cv2.resize(rng.integers(0, 256, (6, 9, 3), np.uint8), (36, 24), interpolation=cv2.INTER_NEAREST)
    matte = rng.random((6, 9), np.float32)
    q = JointBilateral()(guide, matte)
    small = cv2.resize(guide, (9, 6), interpolation=cv2.INTER_LINEAR).astype(int)
    samples = np.rint(255 * matte)
    for y, x in ((0, 0), (23, 35), (10, 17), (13, 4)):
        total = weights = 0.0
        for down, right in np.ndindex(5, 5):
            row, column = np.clip(y // 4 + down - 2, 0, 5), np.clip(x // 4 + right - 2, 0, 8)
            apart = np.abs(guide[y, x].astype(int) - small[row, column]).max()
            near = np.exp(-((down - 2) ** 2 + (right - 2) ** 2) / (2 * bilateral.SPACE**2))
            weight = np.rint(255 * near * np.exp(-(apart**2) / (2 * bilateral.RANGE**2)))
            total += max(weight, down == right == 2) * samples[row, column]
            weights += max(weight, down == right == 2)
        assert q[y, x] == pytest.approx(total / weights, abs=1)


@pytest.mark.parametrize("size", [(1, 1), (4, 1), (3, 7), (180, 320), (101, 180)])
def test_joint_bilateral_of_any_size_keeps_a_flat_matte_flat(size: tuple[int, int]) -> None:
    guide = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    for value in (0.0, 1.0):
        assert (JointBilateral()(guide, np.full((64, 64), value, np.float32)) == 255 * value).all()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(0, 8), st.integers(0, 12)),
    st.tuples(st.integers(1, 9), st.integers(1, 13)),
)
def test_fitting_only_where_the_person_is_changes_nothing_that_is_seen(
    seed: int, first: tuple[int, int], sides: tuple[int, int]
) -> None:
    """A person anywhere on a plane of any colours, against the fit made everywhere."""
    rng = np.random.default_rng(seed)
    guide = cv2.resize(rng.integers(0, 256, (9, 13, 3), np.uint8), (104, 72), interpolation=cv2.INTER_CUBIC)
    matte = np.zeros((18, 26), np.float32)
    matte[2 * first[0] : 2 * (first[0] + sides[0]), 2 * first[1] : 2 * (first[1] + sides[1])] = rng.random()
    everywhere = GuidedFilter()
    everywhere._seen = lambda p: (0, 0, *p.shape)  # type: ignore[method-assign]
    part, whole = GuidedFilter()(guide, matte), everywhere(guide, matte)
    # The final step begins at 64 of 255: what is fainter is not seen.
    np.testing.assert_array_equal(np.maximum(part, 64), np.maximum(whole, 64))


@pytest.mark.parametrize("size", [(16, 4), (4, 16), (8, 8)])
def test_an_empty_matte_stays_empty_whatever_was_there_before(size: tuple[int, int]) -> None:
    filter_ = GuidedFilter()
    guide = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert filter_(guide, np.ones((8, 8), np.float32)).min() >= 254
    assert (filter_(guide, np.zeros((8, 8), np.float32)) == 0).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_the_bilateral_matte_stays_within_its_samples(seed: int, height: int, width: int) -> None:
    """Up-sampling is an average: no pixel lies outside of the samples' range."""
    rng = np.random.default_rng(seed)
    matte = (0.2 + 0.5 * rng.random((5, 5))).astype(np.float32)
    q = JointBilateral()(rng.integers(0, 256, (height, width, 3), np.uint8), matte)
    assert q.min() >= np.floor(255 * matte.min()) - 1
    assert q.max() <= np.ceil(255 * matte.max()) + 1
