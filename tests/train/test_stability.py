"""Expected values are worked out by hand in the comments."""

import cv2
import numpy as np
import pytest

from edgeseg.train.stability import Stability, beside_outline, flipped, follow, measure, to_table, unchanged

RNG = np.random.default_rng(0)
ROOM = np.asarray(cv2.GaussianBlur(RNG.integers(0, 256, (60, 80, 3), np.uint8), (9, 9), 0), np.uint8)


def columns(first, last, shape=(60, 80)):
    mask = np.zeros(shape, bool)
    mask[:, first:last] = True
    return mask


def with_spot(mask, y, x, side):
    mask = mask.copy()
    mask[y : y + side, x : x + side] ^= True
    return mask


FLIPS = [
    ("nothing", columns(20, 40), columns(20, 40), 0),
    # an outline that moves by 3 is within 3 of both frames' outlines everywhere
    ("outline by 3", columns(20, 40), columns(20, 43), 0),
    # by 5: of the columns 1 to 5 beside the one outline and 5 to 1 beside the other only the middle one is near both
    ("outline by 5", columns(20, 40), columns(20, 45), 4 * 60),
    ("a spot in the room appears", columns(20, 40), with_spot(columns(20, 40), 10, 60, 2), 4),
    ("a hole in the person goes", with_spot(columns(20, 40), 10, 29, 2), columns(20, 40), 4),
    ("a spot that touches the outline", columns(20, 40), with_spot(columns(20, 40), 10, 40, 2), 0),
    ("everything", columns(0, 0), columns(0, 80), 60 * 80),
]


@pytest.mark.parametrize(("before", "after", "count"), [c[1:] for c in FLIPS], ids=[c[0] for c in FLIPS])
def test_flips_by_hand(before, after, count):
    assert flipped(before, after).sum() == flipped(after, before).sum() == count


def test_three_pixels_on_each_side_are_beside_the_outline():
    assert np.flatnonzero(beside_outline(columns(20, 40))[7]).tolist() == [*range(17, 23), *range(37, 43)]
    assert not beside_outline(columns(0, 80)).any()


def test_what_has_changed_and_what_is_near_it():
    after = ROOM.copy()
    after[30, 40] ^= 128
    still = unchanged(ROOM, after)
    assert unchanged(ROOM, ROOM).all()
    assert not still[27:34, 37:44].any()
    assert still[:20].all()


def test_a_still_clip_by_hand():
    stability = Stability()
    assert stability.result() == {"frames": 0, **dict.fromkeys(("flips", "flips_95", "flips_still", "flips_warped"))}
    for mask in (columns(20, 40), with_spot(columns(20, 40), 10, 60, 4), columns(20, 40), columns(20, 40)):
        stability.add(ROOM, mask)
    # 16 of 4800 pixels flip in two of the three pairs; the picture stands still throughout.
    result = stability.result()
    assert result["frames"] == 4
    share = pytest.approx(16 * 2 / 3 / 4800)
    assert (result["flips"], result["flips_still"], result["flips_warped"]) == (share, share, share)
    assert result["flips_95"] == pytest.approx(16 / 4800)


def test_where_the_picture_moves_is_not_still():
    stability = Stability()
    moving = ROOM.copy()
    moving[:, 40:] ^= 128
    stability.add(ROOM, columns(0, 20))
    stability.add(moving, with_spot(columns(0, 20), 30, 60, 10))
    assert stability.result()["flips"] == pytest.approx(100 / 4800)
    assert stability.result()["flips_still"] == 0.0


def test_a_mask_that_goes_with_the_picture_does_not_flip():
    """The whole scene moves right by 6 pixels, and the mask with it: it flips, but not after the optical flow."""
    scene = np.asarray(cv2.GaussianBlur(RNG.integers(0, 256, (120, 180, 3), np.uint8), (0, 0), 4), np.uint8)
    scene = np.asarray(cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX), np.uint8)
    before, after = scene[:, 10:170], scene[:, 4:164]
    mask, moved = columns(50, 90, (120, 160)), columns(56, 96, (120, 160))
    carried, seen = follow(before, after, mask)
    assert seen[:, 20:].mean() > 0.95
    assert (carried == moved)[:, 20:].mean() > 0.98
    stability = Stability()
    stability.add(before, mask)
    stability.add(after, moved)
    result = stability.result()
    assert result["flips"] > 0.01
    assert result["flips_warped"] < 0.001


def test_each_kind_of_mask_is_measured_and_shown():
    frames = [ROOM] * 2
    steady, seen = columns(20, 40), []

    def masks(frame):
        seen.append(frame)
        return {"off": steady if len(seen) == 1 else ~steady, "on": steady}

    result = measure(frames, masks)
    assert (result["off"]["flips"], result["on"]["flips"]) == (pytest.approx(1 - 12 / 80), 0.0)
    text = to_table([{"clip": "a.mp4", "smoothing": result}])
    assert [line.split()[:4] for line in text.splitlines()] == [
        ["clip", "smoothing", "frames", "flips"],
        ["a.mp4", "off", "2", "85.000"],
        ["a.mp4", "on", "2", "0.000"],
    ]
    assert "-" in to_table([{"clip": "a", "smoothing": {"on": Stability().result()}}])
