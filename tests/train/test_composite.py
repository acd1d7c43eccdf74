from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.train import composite as module
from edgeseg.train.composite import LARGEST, Layer, composite, dressed, place
from tests.train.test_parts import cut_by_its_border, somebody

SIZE = (64, 64)
NOBODY = np.zeros(SIZE, np.float32)
sizes = st.tuples(st.integers(16, 180), st.integers(16, 180))
seeds = st.integers(0, 10_000)


def plain(h: int, w: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (h, w, 3)).copy()


def blue_room() -> Layer:
    return Layer(plain(50, 60, (200, 0, 0)), np.zeros((50, 60), np.uint8))


def red_on_green(mask: np.ndarray) -> Layer:
    return Layer.of_person(np.stack([np.zeros_like(mask), 255 - mask, mask], 2), mask)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, part=st.sampled_from([0.0, 1.0]))
def test_persons_show_the_new_room_and_nothing_of_the_old(seed: int, part: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PART", part)
        patch.setattr(module, "DRESSED", 0.0)
        frame, matte, unknown = composite([red_on_green(somebody(120, 90))], blue_room(), SIZE, np.random.default_rng(seed))
    assert frame.shape == (*SIZE, 3)
    assert not unknown.any()
    assert (frame[matte == 0][:, 0] > 150).all()
    assert frame[1:-1, 1:-1, 1].max() < 60  # of an outline just outside the picture the rim may show on its border
    assert (frame[matte == 255][:, 2] > 100).all()


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_who_is_cut_by_the_lower_border_still_is(seed: int) -> None:
    _, matte, _ = composite([red_on_green(cut_by_its_border())], blue_room(), SIZE, np.random.default_rng(seed))
    assert matte[-1].max() > 127


@pytest.mark.parametrize("lying", [0.0, 1.0])
def test_the_body_of_who_lies_is_level(lying: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LYING", lying)
    monkeypatch.setattr(module, "PART", 0.0)
    layer = red_on_green(somebody(96, 96))
    for seed in range(30):
        inverse = place(layer, (96, 96), np.random.default_rng(seed), NOBODY)
        assert inverse is not None
        x, y = np.linalg.inv(inverse[:, :2]) @ np.array([0, 1.0])  # from head to feet, in the picture
        assert (abs(x) > abs(y)) == bool(lying)


def test_who_is_cut_does_not_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LYING", 1.0)
    layer = red_on_green(cut_by_its_border())
    for seed in range(30):
        inverse = place(layer, (96, 96), np.random.default_rng(seed), NOBODY)
        assert inverse is not None
        assert inverse[0, 1] == inverse[1, 0] == 0


def test_a_scene_keeps_its_seams_within_and_not_its_rim() -> None:
    """A person and a dog with a seam of unknown pixels between them, and such pixels around both."""
    ids = np.zeros((20, 40), np.uint8)
    ids[4:16, 4:36] = 255
    ids[6:14, 6:19], ids[6:14, 21:34] = 15, 12
    layer = Layer.of_scene(plain(20, 40, (9, 9, 9)), np.asarray((ids == 15) * 255, np.uint8), ids)
    expected = np.zeros((20, 40), np.uint8)
    expected[6:14, 6:34] = 255
    assert (layer.cover == expected).all()
    assert layer.unknown is not None
    assert (layer.unknown > 0).sum() == 8 * 2
    assert (layer.unknown[6:14, 19:21] == 255).all()


@settings(max_examples=60, deadline=None)
@given(
    box=st.tuples(st.integers(0, 30), st.integers(1, 30), st.integers(0, 30), st.integers(1, 30)), size=sizes, seed=seeds
)  # fmt: skip
def test_what_the_photograph_cuts_does_not_end_within_the_picture(
    box: tuple[int, int, int, int], size: tuple[int, int], seed: int
) -> None:
    top, bottom, left, right = box[0], min(40, box[0] + box[1]), box[2], min(50, box[2] + box[3])
    cover = np.zeros((40, 50), np.uint8)
    cover[top:bottom, left:right] = 255
    layer = Layer(plain(40, 50, (9, 9, 9)), cover, bounded=True)
    inverse = place(layer, size, np.random.default_rng(seed), np.zeros(size, np.float32))
    if inverse is None:
        tall, wide = 1.02 * size[0] / 40, 1.02 * size[1] / 50  # that much larger, if it spans the picture
        assert (bottom - top == 40 and tall > LARGEST) or (right - left == 50 and wide > LARGEST)
        return
    corners = inverse[:, :2] @ np.array([[0, size[1] - 1], [0, size[0] - 1]]) + inverse[:, 2:]  # of the picture, in the layer
    (low_x, high_x), (low_y, high_y) = np.sort(corners, axis=1)
    assert top > 0 or low_y >= -0.5
    assert bottom < 40 or high_y <= 39.5
    assert left > 0 or low_x >= -0.5
    assert right < 50 or high_x <= 49.5


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_a_thing_before_a_person_is_nobody(seed: int) -> None:
    """A yellow cat before a red person before blue: red is where the mask is."""
    ids = np.zeros((30, 40), np.uint8)
    ids[8:22, 10:30] = 8
    cat = Layer.of_thing(plain(30, 40, (0, 230, 230)), ids, 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PART", 0.0)
        patch.setattr(module, "DRESSED", 0.0)
        frame, matte, _ = composite([red_on_green(somebody(120, 90)), cat], blue_room(), SIZE, np.random.default_rng(seed))
    yellow = frame[..., 1] > 130
    assert yellow.sum() > 20
    assert (matte[yellow] < 128).all()
    assert (matte[(frame[..., 2] > 140) & (frame[..., 1] < 20)] > 128).all()


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_a_room_with_people_keeps_them_and_what_is_unknown_of_it(seed: int) -> None:
    """Half of the room is a white person, a fifth of the rest unknown; a red one comes before it."""
    mask = np.zeros((60, 60), np.uint8)
    mask[:, :30] = 255
    unknown = np.zeros((60, 60), np.uint8)
    unknown[:, 40:46] = 255
    room = np.where(mask[..., None] > 0, plain(60, 60, (255, 255, 255)), plain(60, 60, (200, 0, 0)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DRESSED", 0.0)
        frame, matte, open_ = composite(
            [red_on_green(somebody(120, 90))], Layer(room, mask, mask, unknown), SIZE, np.random.default_rng(seed)
        )
    assert (matte[(frame > 250).all(2)] > 240).all()
    assert (frame[open_][:, 2] < 160).all()  # the red one is known


def test_clothes_change_and_skin_does_not() -> None:
    frame = np.concatenate([plain(20, 20, (110, 150, 210)), plain(20, 20, (200, 60, 30))], 1)  # skin, blue cloth
    seen = np.stack([dressed(frame, np.random.default_rng(seed)) for seed in range(20)])
    assert np.abs(seen[:, :, :14].astype(int) - frame[:, :14]).max() <= 1
    assert np.abs(seen[:, :, 26:].astype(int) - frame[:, 26:]).max((1, 2, 3)).min() > 10
    assert (cv2.cvtColor(seen[:, 0, 26:], cv2.COLOR_BGR2HSV)[..., 0].max(1)).std() > 20
