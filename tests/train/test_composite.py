from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.train import composite as module
from edgeseg.train.composite import composite, dressed, place
from tests.train.test_parts import cut_by_its_border, somebody

SIZE = (64, 64)
seeds = st.integers(0, 10_000)


def plain(h: int, w: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (h, w, 3)).copy()


BLUE = plain(50, 60, (200, 0, 0))


def red_on_green(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([np.zeros_like(mask), 255 - mask, mask], 2), mask


@settings(max_examples=40, deadline=None)
@given(seed=seeds, part=st.sampled_from([0.0, 1.0]))
def test_persons_show_the_new_room_and_nothing_of_the_old(seed: int, part: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PART", part)
        patch.setattr(module, "DRESSED", 0.0)
        frame, matte = composite([red_on_green(somebody(120, 90))], BLUE, SIZE, np.random.default_rng(seed))
    assert frame.shape == (*SIZE, 3)
    assert (frame[matte == 0][:, 0] > 150).all()
    assert frame[1:-1, 1:-1, 1].max() < 60  # of an outline just outside the picture the rim may show on its border
    assert (frame[matte == 255][:, 2] > 100).all()
    assert np.abs(frame[..., 0] - 200 * (1 - matte / 255)).max() <= 2  # the mask is what is shown, to its soft rim


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_who_is_cut_by_the_lower_border_still_is(seed: int) -> None:
    _, matte = composite([red_on_green(cut_by_its_border())], BLUE, SIZE, np.random.default_rng(seed))
    assert matte[-1].max() > 127


@pytest.mark.parametrize("lying", [0.0, 1.0])
def test_the_body_of_who_lies_is_level(lying: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LYING", lying)
    monkeypatch.setattr(module, "PART", 0.0)
    person = red_on_green(somebody(96, 96))
    for seed in range(30):
        inverse = place(*person, (96, 96), np.random.default_rng(seed))
        x, y = np.linalg.inv(inverse[:, :2]) @ np.array([0, 1.0])  # from head to feet, in the picture
        assert (abs(x) > abs(y)) == bool(lying)


def test_who_is_cut_does_not_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LYING", 1.0)
    person = red_on_green(cut_by_its_border())
    for seed in range(30):
        inverse = place(*person, (96, 96), np.random.default_rng(seed))
        assert inverse[0, 1] == inverse[1, 0] == 0


def test_clothes_change_and_skin_does_not() -> None:
    frame = np.concatenate([plain(20, 20, (110, 150, 210)), plain(20, 20, (200, 60, 30))], 1)  # skin, blue cloth
    seen = np.stack([dressed(frame, np.random.default_rng(seed)) for seed in range(20)])
    assert np.abs(seen[:, :, :14].astype(int) - frame[:, :14]).max() <= 1
    assert np.abs(seen[:, :, 26:].astype(int) - frame[:, 26:]).max((1, 2, 3)).min() > 10
    assert (cv2.cvtColor(seen[:, 0, 26:], cv2.COLOR_BGR2HSV)[..., 0].max(1)).std() > 20
