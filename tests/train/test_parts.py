from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.train import augment
from edgeseg.train.augment import composite
from edgeseg.train.parts import HEAD, LARGEST, entering

sizes = st.tuples(st.integers(16, 90), st.integers(16, 90))


def somebody(h: int, w: int) -> np.ndarray:
    """A standing person with air on all sides: a narrow head and legs below a wide body."""
    mask = np.zeros((h, w), np.uint8)
    mask[h // 8 : -(h // 8), 3 * w // 8 : 5 * w // 8] = 255
    mask[3 * h // 8 : 5 * h // 8, w // 8 : -(w // 8)] = 255
    return mask


@settings(max_examples=60, deadline=None)
@given(source=st.tuples(st.integers(40, 200), st.integers(40, 200)), size=sizes, seed=st.integers(0, 10_000))
def test_a_part_has_no_head_and_comes_from_outside(source: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    mask = somebody(*source)
    inverse = entering(mask, size, np.random.default_rng(seed))
    assert inverse is not None
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    (top, bottom) = np.nonzero(mask.any(1))[0][[0, -1]]
    head = mask.copy()
    head[int(top + (HEAD - 0.1) * (bottom - top)) :] = 0
    assert not cv2.warpAffine(head, inverse, size[::-1], flags=flags).any()
    assert abs(np.linalg.det(inverse[:, :2])) >= LARGEST**-2 - 1e-9
    count, labels = cv2.connectedComponents(cv2.warpAffine(mask, inverse, size[::-1], flags=flags))
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    assert set(range(1, count)) <= set(border.tolist())


def cut_by_its_border() -> np.ndarray:
    """Shoulders that reach the left, right and lower border: whatever is below the head is cut."""
    mask = np.zeros((60, 40), np.uint8)
    mask[5:20, 15:25] = 255
    mask[20:] = 255
    return mask


@pytest.mark.parametrize("mask", [np.zeros((50, 60), np.uint8), cut_by_its_border()], ids=["nobody", "cut"])
def test_who_has_no_part_that_ends_in_the_picture(mask: np.ndarray) -> None:
    assert all(entering(mask, (64, 64), np.random.default_rng(seed)) is None for seed in range(20))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_composites_of_parts_show_nothing_of_the_old_room(seed: int) -> None:
    """A red person on green, before blue."""
    mask = somebody(120, 90)
    frame = np.stack([np.zeros_like(mask), 255 - mask, mask], 2)
    blue = np.zeros((50, 60, 3), np.uint8)
    blue[..., 0] = 200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augment, "PART", 1.0)
        seen, matte = composite([(frame, mask)], blue, (64, 64), np.random.default_rng(seed))
    assert (seen[matte == 0][:, 0] > 150).all()
    assert seen[..., 1].max() < 60
    inside = cv2.erode(matte, np.ones((7, 7), np.uint8), borderValue=255) == 255
    assert (seen[inside][:, 2] > 100).all()


@pytest.mark.parametrize("lying", [0.0, 1.0])
def test_the_body_of_who_lies_is_level(lying: float, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = somebody(96, 96)
    monkeypatch.setattr(augment, "LYING", lying)
    for seed in range(30):
        inverse = augment._whole(mask, (96, 96), np.random.default_rng(seed))
        x, y = np.linalg.inv(inverse[:, :2]) @ np.array([0, 1.0])  # from head to feet, in the picture
        assert (abs(x) > abs(y)) == bool(lying)


def test_who_is_cut_does_not_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "LYING", 1.0)
    for seed in range(30):
        inverse = augment._whole(cut_by_its_border(), (96, 96), np.random.default_rng(seed))
        assert inverse[0, 1] == inverse[1, 0] == 0
