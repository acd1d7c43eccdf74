"""Parts of persons that come into a picture from outside it: an arm, legs, a hand that holds a dog; nothing with a head."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.train.data import Frame, Mask

HEAD = 0.25  # upper share of a standing person's height that is not shown
LEAST = 0.015  # of the person's pixels that are shown
TRIES = 16  # lines across a person before there is said to be none
BARE = 0.5  # share of the parts that are the barest of several: arms and hands, of which outlines alone say little
SEVERAL = 4
SKIN = ((0, 133, 77), (255, 180, 135))  # YCrCb of skin, and of most hair
DEPTH = (0.35, 1.1)  # how far a part reaches into the picture, of its side
LARGEST = 4.0  # times a source may be enlarged
LEVEL = 0.6  # share of the parts that are turned by 45 degrees at most: arms come from the side, legs from above
INWARD = ((0.0, 1.0), (-1.0, 0.0), (0.0, -1.0), (1.0, 0.0))  # from the upper, right, lower and left border, (x, y)


def skin_of(frame: Frame) -> Mask:
    """(h, w) 255 where a picture (h, w, 3) BGR has the colour of skin, 0 elsewhere."""
    return np.asarray(cv2.inRange(cv2.cvtColor(frame, cv2.COLOR_BGR2YCrCb), *SKIN), np.uint8)


def entering(frame: Frame, mask: Mask, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64] | None:
    """(2, 3) from coordinates of a picture of `size` to those of `frame` and `mask` (h, w), so that a part of its person comes
    in from a border of the picture; None where no part can: what the mask's own border cuts would end within the picture.

    A line across the person, below the head, is laid on the border or just outside; what is on its far side is seen.
    """
    shrink = max(1.0, max(mask.shape) / 96)
    small = cv2.resize(mask, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA) > 127
    y, x = np.nonzero(small)
    if len(y) < 30:
        return None
    h, w = small.shape
    cut = (x == 0) | (x == w - 1) | (y == 0) | (y == h - 1)
    head = y < y.min() + HEAD * np.ptp(y)
    points = np.stack([x, y], 1).astype(np.float64)
    bare = skin_of(np.asarray(cv2.resize(frame, (w, h), interpolation=cv2.INTER_AREA), np.uint8))[y, x] > 0
    wanted = SEVERAL if rng.random() < BARE else 1
    found = []
    for _ in range(TRIES):
        angle = rng.uniform(-np.pi, np.pi)
        away = np.array([np.cos(angle), np.sin(angle)])
        along = points @ away
        least, most = along[head].max(initial=along.min()), np.quantile(along, 1 - LEAST)
        if least >= most:  # all of the person on this side is beside the head
            continue
        line = rng.uniform(least, most)
        seen = along > line
        if seen.mean() > LEAST and not cut[seen].any():
            found.append((float(bare[seen].mean()), seen, line, away))
        if len(found) == wanted:
            break
    if not found:
        return None
    _, seen, line, away = max(found, key=lambda part: part[0])
    return _laid(points[seen] * shrink, line * shrink, away, size, rng)


def _laid(
    part: NDArray[np.float64], line: float, away: NDArray[np.float64], size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """`entering`'s answer for `part` (n, 2), which lies beyond `line` in the direction `away`."""
    inward = np.array(INWARD)
    side = inward[np.argmax(inward @ away)] if rng.random() < LEVEL else inward[rng.integers(4)]
    deep = size[0] if side[1] else size[1]
    wide = size[1] if side[1] else size[0]
    reach = np.exp(rng.uniform(*np.log(DEPTH))) * deep
    scale = min(LARGEST, reach / max(np.ptp(part @ away), 1.0))
    across = np.array([-away[1], away[0]])  # what goes away from the line goes inwards, what goes across it along the border
    center = line * away + (part @ across).mean() * across
    # The picture's point on the border where that center comes to lie, perhaps a little outside.
    place = rng.uniform(0.1, 0.9) * wide
    outside = rng.uniform(0, 0.1) * reach
    border = 0.0 if side.sum() > 0 else float(deep)
    at = np.array([place, border]) if side[1] else np.array([border, place])
    at = at - side * outside
    flip = 1 if rng.random() < 0.5 else -1
    turn = np.stack([away, across * flip], 1) @ np.stack([side, [-side[1], side[0]]], 1).T / scale  # picture -> source
    return np.concatenate([turn, (center - turn @ at)[:, None]], 1)
