"""The kernels against what they mean, in floats, at sizes that fill no vector."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.runtime import native
from edgeseg.runtime.arrays import Alpha, Frame
from edgeseg.runtime.refinement.guided import GuidedFilter
from edgeseg.runtime.refinement.refiner import smoothstep

with_kernels = pytest.mark.skipif(not native.available(), reason="no kernels on this machine")
sides = st.integers(1, 70)
seeds = st.integers(0, 2**32 - 1)


def test_there_are_kernels_where_they_can_be() -> None:
    """A change that no longer compiles would otherwise pass unseen: the install leaves it out."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    can = platform.machine() == "aarch64" or (platform.machine() == "x86_64" and "avx2" in flags)
    if can and shutil.which("gcc") and os.environ.get("EDGESEG_NATIVE") != "0":
        assert native.available()


def test_they_can_be_left_alone() -> None:
    code = "from edgeseg.runtime import native; print(native.available())"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "EDGESEG_NATIVE": "0"}, capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr


def test_a_library_of_another_processor_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "_kernels.abi3.so").write_bytes(b"\x7fELF of something else")
    monkeypatch.setattr(native, "__file__", str(tmp_path / "__init__.py"))
    assert native._kernels.__wrapped__() is None


def enlarged(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Linear interpolation between the centres of pixels, in float64."""
    for axis, size in ((0, height), (1, width)):
        count = picture.shape[axis]
        at = ((np.arange(size) + 0.5) * count / size - 0.5).clip(0, count - 1)
        low = at.astype(int)
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(picture.ndim)])
        picture = picture.take(low, axis) * (1 - share) + picture.take(np.minimum(low + 1, count - 1), axis) * share
    return picture


def blob(rng: np.random.Generator, height: int, width: int) -> Alpha:
    """Nothing, all, and what lies between, in runs and alone."""
    coarse = rng.choice(np.array([0, 0, 40, 64, 128, 191, 255, 255], np.uint8), (-(-height // 9), -(-width // 9)))
    return np.ascontiguousarray(coarse.repeat(9, 0).repeat(9, 1)[:height, :width])


def pictures(rng: np.random.Generator, height: int, width: int, count: int) -> list[Frame]:
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


@with_kernels
@given(sides, sides, seeds)
def test_halving_is_that_of_opencv(height: int, width: int, seed: int) -> None:
    (picture,) = pictures(np.random.default_rng(seed), 2 * height, 2 * width, 1)
    out = np.zeros((height, width, 3), np.uint8)
    native.halve(picture, out)
    mean = picture.reshape(height, 2, width, 2, 3).astype(int).sum((1, 3))
    np.testing.assert_array_equal(out, (mean + 2) // 4)
    np.testing.assert_array_equal(out, cv2.resize(picture, (width, height)).reshape(out.shape))


@with_kernels
@given(sides, sides, st.floats(1, 9), st.floats(1, 9), seeds)
def test_finishing_is_enlarging_and_the_step(rows: int, columns: int, down: float, right: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    plane = blob(rng, rows, columns)
    out = rng.integers(0, 256, (int(rows * down), int(columns * right)), np.uint8)
    native.finish(plane, out)
    expected = 255 * smoothstep(enlarged(plane, *out.shape) / 255)
    # A weight is a multiple of 1/128: of 255 that may be a byte, of which the step makes three. And what is rounded on the way.
    assert np.abs(out - expected).max() <= 4.5
    assert set(np.unique(out[expected == 0])) <= {0}
    assert set(np.unique(out[expected == 255])) <= {255}


@with_kernels
@given(sides, sides, st.booleans(), seeds)
def test_blending_is_the_matting_equation(height: int, width: int, clean: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame, out, room = pictures(rng, height, width, 3)
    alpha = blob(rng, height, width)
    a = alpha[..., None] / 255
    share = np.clip(frame - (1 - a) * room, 0, 255 * a) if clean else a * frame
    expected = share + (1 - a) * out
    native.blend(frame, alpha, out, room if clean else None)
    assert np.abs(out - expected).max() <= 1.5
    np.testing.assert_array_equal(out[alpha == 255], frame[alpha == 255])


@with_kernels
@given(sides, sides, st.integers(1, 4), st.integers(1, 12), st.integers(1, 12), seeds)
def test_composing_is_enlarging_and_blending(height: int, width: int, alike: int, rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height *= alike
    (frame, out), (behind,) = pictures(rng, height, width, 2), pictures(rng, rows, columns, 1)
    alpha = blob(rng, height, width)
    a = alpha[..., None] / 255
    expected = a * frame + (1 - a) * enlarged(behind, height // alike, width).repeat(alike, 0)
    native.compose(frame, alpha, behind, out, alike)
    assert np.abs(out - expected).max() <= 2.5
    np.testing.assert_array_equal(out[alpha == 255], frame[alpha == 255])


@with_kernels
@given(st.integers(1, 30), st.integers(1, 30), seeds)
def test_the_guided_filter_is_that_of_numpy(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    guide = cv2.GaussianBlur(rng.integers(0, 256, (4 * rows, 4 * columns, 3), np.uint8), (0, 0), 2).reshape(
        4 * rows, 4 * columns, 3
    )
    matte = blob(rng, rows, columns).astype(np.float32) / 255
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "available", lambda: False)
        expected = GuidedFilter()(guide, matte).copy()
    difference = np.abs(GuidedFilter()(guide, matte).astype(int) - expected)
    assert difference.max() <= 2
    assert (difference > 0).mean() <= 0.05  # sums in another order round another way now and then


@with_kernels
@pytest.mark.parametrize("wrong", ["shape", "gaps", "type"])
def test_what_does_not_fit_is_refused_before_it_is_touched(wrong: str) -> None:
    frame, out = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)
    alpha = {
        "shape": np.zeros((4, 5), np.uint8),
        "gaps": np.zeros((4, 12), np.uint8)[:, ::2],
        "type": np.zeros((4, 6), np.float32),
    }[wrong]
    with pytest.raises(ValueError, match="blend"):
        native.blend(frame, alpha, out)
