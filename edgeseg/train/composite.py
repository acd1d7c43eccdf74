"""Pictures made of others: persons, and parts of them, in rooms they were not in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.train.augment import Generator, view, warp
from edgeseg.train.data import Frame, Mask
from edgeseg.train.parts import entering, skin_of

FAR = 0.3  # share of the composited persons that are small, as in a snapshot of a room or a street
PART = 0.35  # share of the composited persons of whom only an arm or legs come into the picture, if their mask has any whole
LYING = 0.1  # share of the others that lie, if nothing of them is cut
DRESSED = 0.3  # share of the composited persons whose clothes have another colour


def composite(
    people: Sequence[tuple[Frame, Mask]], background: Frame, size: tuple[int, int], rng: Generator
) -> tuple[Frame, Mask]:
    """Persons before all of `background`, at random scales and places, the last in front.

    Some come in as parts (`parts.entering`), some lie. A person cut by the picture's lower border stays at the border. The
    light of each is moved towards the background's, and the edge of the cut-out is softened after taking off the rim in
    which the old room still shows; the mask is what is shown then.
    """
    picture = view(background, None, size, rng)[0]
    if rng.random() < 0.3:  # a room out of focus
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(1, 5)), np.uint8)
    light = np.array(cv2.mean(picture)[:3])
    empty = np.ones((*size, 1), np.float32)  # share of each pixel in which the background is seen
    for source, mask in people:
        inverse = place(source, mask, size, rng)
        frame = warp(source, inverse, size, cv2.BORDER_REPLICATE)
        if rng.random() < DRESSED:
            frame = dressed(frame, rng)
        gain = np.clip(light / np.maximum(cv2.mean(frame)[:3], 1), 0.6, 1.6) ** rng.uniform(0, 0.7)
        rim = 2 * math.ceil(max(1.0, abs(np.linalg.det(inverse[:, :2])) ** -0.5)) + 1  # a pixel of either, on both sides
        cover = cv2.erode(warp(mask, inverse, size, cv2.BORDER_CONSTANT), np.ones((rim, rim), np.uint8))
        shown = (cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 1.2)) / 255.0).astype(np.float32)[..., None]
        picture = (np.clip(frame * gain.astype(np.float32), 0, 255) * shown + picture * (1 - shown)).astype(np.uint8)
        empty = empty * (1 - shown)
    return picture, np.asarray(np.rint(255 * (1 - empty[..., 0])), np.uint8)


def place(frame: Frame, mask: Mask, size: tuple[int, int], rng: Generator) -> NDArray[np.float64]:
    """(2, 3) from a picture of `size` to `frame` and `mask` (h, w), which lays all or a part of their person into it."""
    part = entering(frame, mask, size, rng) if rng.random() < PART else None
    return _whole(mask, size, rng) if part is None else part


def _whole(mask: Mask, size: tuple[int, int], rng: Generator) -> NDArray[np.float64]:
    """`place` for all of a person."""
    h, w = mask.shape
    low, high = (0.15, 0.5) if rng.random() < FAR else (0.45, 1.3)
    scale = np.exp(rng.uniform(np.log(low), np.log(high))) * min(size[0] / h, size[1] / w)
    stretch = np.exp(rng.normal(0, 0.12))
    sx, sy = scale * stretch * (1 if rng.random() < 0.5 else -1), scale / stretch
    standing = mask[-2:].max() > 127
    x = rng.uniform(0.15, 0.85) * size[1]
    y = size[0] - sy * h / 2 + rng.uniform(0, 0.15) * min(size[0], sy * h) if standing else rng.uniform(0.35, 0.65) * size[0]
    cut = standing or mask[:2].any() or mask[:, :2].any() or mask[:, -2:].any()
    if rng.random() < LYING and not cut:
        angle = np.deg2rad(rng.uniform(60, 120)) * rng.choice([-1, 1])
        turn = np.array([[np.cos(angle) / sx, -np.sin(angle) / sx], [np.sin(angle) / sy, np.cos(angle) / sy]])
        return np.concatenate([turn, (np.array([w / 2, h / 2]) - turn @ np.array([x, y]))[:, None]], 1)
    return np.array([[1 / sx, 0, w / 2 - x / sx], [0, 1 / sy, h / 2 - y / sy]])


def dressed(frame: Frame, rng: Generator) -> Frame:
    """`frame` in other colours and lighter or darker, but for what has the colour of skin."""
    kept = cv2.GaussianBlur(skin_of(frame), (0, 0), 1.5)[..., None] / np.float32(255)
    hsv = cv2.cvtColor(frame, cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(0, 180)) % 180
    hsv[..., 1] *= np.float32(rng.uniform(0.2, 1.6))
    hsv[..., 2] *= np.float32(np.exp(rng.normal(-0.1, 0.4)))
    other = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2BGR)
    return np.asarray(frame * kept + other * (1 - kept) + 0.5, np.uint8)
