"""Pictures made of others: persons, parts of them, the people of scenes and things before them, in rooms they were not in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.train.augment import Generator, view, warp
from edgeseg.train.data import Frame, Mask
from edgeseg.train.losses import IGNORE
from edgeseg.train.parts import entering, skin_of
from edgeseg.train.truth import ClassIds

FAR = 0.3  # share of the composited persons that are small, as in a snapshot of a room or a street
PART = 0.35  # share of the composited persons of whom only an arm or legs come into the picture, if their mask has any whole
LYING = 0.1  # share of the others that lie, if nothing of them is cut
DRESSED = 0.3  # share of the layers whose clothes have another colour
SPAN = (0.3, 1.0)  # how much of the picture a scene's people or a thing may span
LARGEST = 2.5  # times those may be enlarged to reach from border to border
BACKGROUND = 0  # class id of what is nothing in particular


@dataclass(frozen=True)
class Layer:
    """A picture (h, w, 3) BGR of which `cover` (h, w) 0..255 is laid over others.

    person   (h, w) 0..255 what of it is one; None: nobody
    unknown  (h, w) 255 where its truth is not known; None: nowhere
    bounded  the photograph's own borders cut it, or may: where they do it lies on the picture's
    """

    frame: Frame
    cover: Mask
    person: Mask | None = None
    unknown: Mask | None = None
    bounded: bool = False

    @classmethod
    def of_person(cls, frame: Frame, mask: Mask) -> Layer:
        """Somebody of whom the mask is all that is known."""
        return cls(frame, mask, mask)

    @classmethod
    def of_scene(cls, frame: Frame, mask: Mask, ids: ClassIds) -> Layer:
        """A labelled scene's people and what else is named in it: what they ride, hold or sit behind.

        The seams between two of them, which labels leave open, are kept and unknown; those towards the background are not.
        """
        named = np.asarray(((ids != BACKGROUND) & (ids != IGNORE)) * 255, np.uint8)
        closed = cv2.morphologyEx(named, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        seam = np.asarray(((closed > 0) & (ids == IGNORE)) * 255, np.uint8)
        return cls(frame, named | seam, mask, seam, bounded=True)

    @classmethod
    def of_thing(cls, frame: Frame, ids: ClassIds, thing: int) -> Layer:
        """What is `thing` of a labelled scene, to stand before a person."""
        return cls(frame, np.asarray((ids == thing) * 255, np.uint8), bounded=True)


def composite(
    layers: Sequence[Layer], room: Layer, size: tuple[int, int], rng: Generator
) -> tuple[Frame, Mask, NDArray[np.bool_]]:
    """`layers` before all of `room`, at random scales and places, the last in front: frame, persons, and where unknown.

    Some persons come in as parts (`parts.entering`), some lie. A person cut by the picture's lower border stays at the
    border. The light of each layer is moved towards the room's, and the edge of the cut-out is softened after taking off the
    rim in which the old room still shows; the persons' mask is what is shown then.
    """
    picture, seen, seen_unknown = view(room.frame, room.person, size, rng, ids=room.unknown)
    everybody = np.zeros(size, np.float32) if seen is None else seen.astype(np.float32)
    unknown = np.zeros(size, bool) if seen_unknown is None else seen_unknown > 0
    if rng.random() < 0.3 and seen is None:  # a room out of focus
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(1, 5)), np.uint8)
    light = np.array(cv2.mean(picture)[:3])
    for layer in layers:
        inverse = place(layer, size, rng, near=everybody)
        if inverse is None:
            continue
        frame = warp(layer.frame, inverse, size, cv2.BORDER_REPLICATE)
        if rng.random() < DRESSED:
            frame = dressed(frame, rng)
        gain = np.clip(light / np.maximum(cv2.mean(frame)[:3], 1), 0.6, 1.6) ** rng.uniform(0, 0.7)
        rim = 2 * math.ceil(max(1.0, abs(np.linalg.det(inverse[:, :2])) ** -0.5)) + 1  # a pixel of either, on both sides
        cover = cv2.erode(warp(layer.cover, inverse, size, cv2.BORDER_CONSTANT), np.ones((rim, rim), np.uint8))
        soft = (cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 1.2)) / 255.0).astype(np.float32)
        shown = soft[..., None]
        picture = (np.clip(frame * gain.astype(np.float32), 0, 255) * shown + picture * (1 - shown)).astype(np.uint8)
        everybody = everybody * (1 - soft)
        if layer.person is not None:
            everybody += soft * (255 if layer.person is layer.cover else warp(layer.person, inverse, size, cv2.BORDER_CONSTANT))
        unknown &= soft < 0.5
        if layer.unknown is not None:
            unknown |= (warp(layer.unknown, inverse, size, cv2.BORDER_CONSTANT) > 127) & (soft >= 0.5)
    return picture, np.asarray(np.rint(everybody), np.uint8), unknown


def place(layer: Layer, size: tuple[int, int], rng: Generator, near: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """(2, 3) from a picture of `size` to the layer's own, or None where the layer cannot be laid.

    near  (h, w) persons that are there already: a thing that nothing cuts comes to lie on one of their pixels
    """
    if layer.bounded:
        there = np.argwhere(near > 127) if layer.person is None else ()
        return _bounded(layer.cover, size, rng, there[rng.integers(len(there))] if len(there) else None)
    inverse = entering(layer.frame, layer.cover, size, rng) if rng.random() < PART else None
    return _whole(layer.cover, size, rng) if inverse is None else inverse


def _bounded(
    cover: Mask, size: tuple[int, int], rng: Generator, center: NDArray[np.int64] | None
) -> NDArray[np.float64] | None:
    """`place` for what the photograph's borders may cut: the picture's cut it there. `center` (y, x) holds where none does."""
    shown = cover > 127
    (top, bottom), (left, right) = (np.flatnonzero(shown.any(axis))[[0, -1]] + [0, 1] for axis in (1, 0))
    h, w = cover.shape
    cuts = [(top == 0, bottom == h), (left == 0, right == w)]
    flip = rng.random() < 0.5
    if flip:
        cuts[1] = cuts[1][::-1]
    sides = (bottom - top, right - left)
    scale = np.exp(rng.uniform(*np.log(SPAN))) * min(n / side for n, side in zip(size, sides, strict=True))
    scale = max([min(scale, LARGEST), *(1.02 * n / side for n, side, cut in zip(size, sides, cuts, strict=True) if all(cut))])
    if scale > LARGEST:
        return None
    middles = [rng.uniform(0.2, 0.8) * n for n in size] if center is None else center
    starts = []
    for n, side, (low, high), middle in zip(size, sides, cuts, middles, strict=True):
        span, beyond = scale * side, rng.uniform(0, 0.15) * scale * side
        if low and high:
            starts.append(rng.uniform(n - span, 0))
        elif low or high:
            starts.append(-beyond if low else n - span + beyond)
        else:
            starts.append(middle - span / 2)
    y, x = ((start - 0.5) / scale + 0.5 for start in starts)  # pixels' centres are half a pixel from their edges
    across = [-1 / scale, 0.0, right - 1 + x] if flip else [1 / scale, 0.0, left - x]
    return np.array([across, [0.0, 1 / scale, top - y]])


def _whole(mask: Mask, size: tuple[int, int], rng: Generator) -> NDArray[np.float64]:
    """`place` for a person's `mask` at a random scale and place."""
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
