from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.train import parts
from edgeseg.train.parts import HEAD, LARGEST, entering, skin_of

sizes = st.tuples(st.integers(16, 90), st.integers(16, 90))


def somebody(h: int, w: int) -> np.ndarray:
    """A standing person with air on all sides: a narrow head and legs below a wide body."""
    mask = np.zeros((h, w), np.uint8)
    mask[h // 8 : -(h // 8), 3 * w // 8 : 5 * w // 8] = 255
    mask[3 * h // 8 : 5 * h // 8, w // 8 : -(w // 8)] = 255
    return mask


def grey(mask: np.ndarray) -> np.ndarray:
    return np.full((*mask.shape, 3), 90, np.uint8)


@settings(max_examples=60, deadline=None)
@given(source=st.tuples(st.integers(40, 200), st.integers(40, 200)), size=sizes, seed=st.integers(0, 10_000))
def test_a_part_has_no_head_and_comes_from_outside(source: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    mask = somebody(*source)
    inverse = entering(grey(mask), mask, size, np.random.default_rng(seed))
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
    assert all(entering(grey(mask), mask, (64, 64), np.random.default_rng(seed)) is None for seed in range(20))


def test_the_barest_of_several_is_a_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skin at the left end of the widest part alone, the left hand; any other part has less of it."""
    mask = somebody(96, 96)
    frame = grey(mask)
    frame[36:60, :30] = (110, 150, 210)
    shares = {}
    for bare in (0.0, 1.0):
        monkeypatch.setattr(parts, "BARE", bare)
        seen = []
        for seed in range(60):
            inverse = entering(frame, mask, (64, 64), np.random.default_rng(seed))
            assert inverse is not None
            flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
            shown = [cv2.warpAffine(m, inverse, (64, 64), flags=flags) for m in (mask, mask & skin_of(frame))]
            seen.append(shown[1].sum() / max(1, shown[0].sum()))
        shares[bare] = np.mean(seen)
    assert shares[1.0] > 1.5 * shares[0.0]


def test_the_colour_of_skin_is_not_that_of_cloth() -> None:
    row = np.array([[(110, 150, 210), (60, 80, 130), (200, 60, 30), (90, 90, 90), (40, 160, 60)]], np.uint8)
    assert skin_of(row).tolist() == [[255, 255, 0, 0, 0]]  # light, dark, blue, grey, green
