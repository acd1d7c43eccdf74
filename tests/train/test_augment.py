from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.train import augment
from edgeseg.train.augment import camera, view

sizes = st.tuples(st.integers(8, 70), st.integers(8, 70))


def person(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """A red block that reaches the lower border, on green."""
    mask = np.zeros((h, w), np.uint8)
    mask[h // 3 :, w // 4 : 3 * w // 4] = 255
    frame = np.zeros((h, w, 3), np.uint8)
    frame[..., 1] = 255 - mask
    frame[..., 2] = mask
    return frame, mask


@settings(max_examples=40, deadline=None)
@given(source=sizes, size=sizes, seed=st.integers(0, 10_000))
def test_views_keep_picture_and_mask_together(source: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    frame, mask, _ = view(*person(*source), size, np.random.default_rng(seed))
    assert mask is not None
    assert frame.shape == (*size, 3)
    assert mask.shape == size
    assert np.abs(frame[..., 2].astype(int) - mask).max() <= 2  # red is where the mask is, at every pixel
    assert np.abs(frame[..., 1].astype(int) + mask - 255).max() <= 2


@settings(max_examples=40, deadline=None)
@given(source=sizes, size=sizes, seed=st.integers(0, 10_000), calm=st.booleans())
def test_views_invent_no_class_ids(source: tuple[int, int], size: tuple[int, int], seed: int, calm: bool) -> None:
    frame, mask = person(*source)
    ids = np.where(mask > 0, 7, 200).astype(np.uint8)
    seen, _, seen_ids = view(frame, None, size, np.random.default_rng(seed), ids=ids, calm=calm)
    assert seen_ids is not None
    assert set(np.unique(seen_ids)) <= {7, 200}
    assert (seen_ids[seen[..., 2] > 250] == 7).all()
    assert (seen_ids[seen[..., 1] > 250] == 200).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_seed_repeats_what_the_camera_does(seed: int) -> None:
    frame, _ = person(20, 30)
    first, second = (camera(frame, np.random.default_rng(seed)) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.shape == frame.shape
    assert (first == second).all()


def test_cameras_differ() -> None:
    frame, _ = person(20, 30)
    seen = {camera(frame, np.random.default_rng(seed)).tobytes() for seed in range(20)}
    assert len(seen) > 15


@pytest.mark.parametrize(("close", "least", "most"), [(0.0, 0.42, 1.0), (1.0, 0.22, 0.71)])
def test_close_ups_see_a_part_of_the_picture(close: float, least: float, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across a ramp from 0 to 255 the values that are seen tell how wide the window is: 0.55 to 1.25 of the picture's side, and
    0.3 to 0.55 close up, times the root of a stretch of 1.6 either way.
    """
    monkeypatch.setattr(augment, "CLOSE", close)
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (256, 256, 3)).copy()
    widths = [np.ptp(view(ramp, None, (64, 64), np.random.default_rng(seed))[0].astype(int)) / 255 for seed in range(40)]
    assert least <= min(widths)
    assert max(widths) <= most
    assert np.ptp(widths) > 0.2
