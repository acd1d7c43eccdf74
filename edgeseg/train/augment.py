"""Augmentation for webcams: framing, other rooms behind the person, and what cheap cameras do to a picture.

Every function takes and gives `frame` (h, w, 3) uint8 BGR and `mask` (h, w) uint8, and draws from the generator it is
given, so that a seed repeats a training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.train.data import Frame, Mask
from edgeseg.train.parts import entering

Generator = np.random.Generator
CLOSE = 0.15  # share of the views that are close-ups: a torso, a leg, a hand that holds something, without a head
FAR = 0.3  # share of the composited persons that are small, as in a snapshot of a room or a street
PART = 0.35  # share of the composited persons of whom only an arm or legs come into the picture, if their mask has any whole
LYING = 0.1  # share of the others that lie, if nothing of them is cut


def view(
    frame: Frame,
    mask: Mask | None,
    size: tuple[int, int],
    rng: Generator,
    *,
    ids: Mask | None = None,
    calm: bool = False,
    share: float = 1.0,
) -> tuple[Frame, Mask | None, Mask | None]:
    """A random window of the picture, stretched to `size`, as the runtime stretches a camera's frame; with mask and class ids.

    The window's shape is that of `size` but for a stretch of up to 1.6 either way; what lies outside the picture is
    mirrored. `calm` keeps the picture's own shape and level nearly, as scenes of one fixed camera have it; `share` of its
    sides is then seen, so that a window smaller than the network's size shows things as large as that does.
    """
    h, w = frame.shape[:2]
    if calm:
        aspect = w / h * np.exp(rng.uniform(-0.05, 0.05))
        zoom = share * np.exp(rng.uniform(np.log(0.7), np.log(1.1)))
        tilt = 0.5
    else:
        aspect = np.clip(size[1] / size[0] * np.exp(rng.uniform(-0.47, 0.47)), 0.5, 2.0)
        near, far = (0.3, 0.55) if rng.random() < CLOSE else (0.55, 1.25)
        zoom = np.exp(rng.uniform(np.log(near), np.log(far)))  # window / picture
        tilt = 5
    side = zoom * np.sqrt(h * w)
    window_h, window_w = side / np.sqrt(aspect), side * np.sqrt(aspect)
    center = [rng.uniform(min(v / 2, n - v / 2), max(v / 2, n - v / 2)) for v, n in ((window_w, w), (window_h, h))]
    angle = np.deg2rad(rng.normal(0, tilt))
    flip = -1 if rng.random() < 0.5 else 1
    cos, sin = np.cos(angle), np.sin(angle)
    scale_x, scale_y = flip * window_w / size[1], window_h / size[0]
    inverse = np.array([[cos * scale_x, -sin * scale_y, 0.0], [sin * scale_x, cos * scale_y, 0.0]])  # window -> picture
    inverse[:, 2] = np.asarray(center) - inverse[:, :2] @ (np.array([size[1] - 1, size[0] - 1]) / 2)
    seen = _warp(frame, inverse, size, cv2.BORDER_REFLECT_101)
    seen_mask = None if mask is None else _warp(mask, inverse, size, cv2.BORDER_REFLECT_101)
    if ids is None:
        return seen, seen_mask, None
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    seen_ids = cv2.warpAffine(ids, inverse, (size[1], size[0]), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return seen, seen_mask, np.asarray(seen_ids, np.uint8)


def composite(
    people: Sequence[tuple[Frame, Mask]], background: Frame, size: tuple[int, int], rng: Generator
) -> tuple[Frame, Mask]:
    """`people`, each a frame with its mask, before another `background`, at random scales and places, the last in front.

    Some come in as parts (`parts.entering`), some lie. A person cut by the picture's lower border stays at the border.
    The person's light is moved towards the background's, and the edge of the cut-out is softened after taking off the rim in
    which the old room still shows.
    """
    room = view(background, None, size, rng)[0]
    if rng.random() < 0.3:  # a room out of focus
        room = np.asarray(cv2.GaussianBlur(room, (0, 0), rng.uniform(1, 5)), np.uint8)
    light = room.mean((0, 1))
    everybody = np.zeros(size, np.uint8)
    for frame, mask in people:
        person, alpha = _place(frame, mask, size, rng)
        gain = np.clip(light / np.maximum(person.mean((0, 1)), 1), 0.6, 1.6) ** rng.uniform(0, 0.7)
        soft = cv2.GaussianBlur(cv2.erode(alpha, np.ones((3, 3), np.uint8)), (0, 0), rng.uniform(0.5, 1.2)) / 255.0
        soft = soft[..., None].astype(np.float32)
        room = (np.clip(person * gain.astype(np.float32), 0, 255) * soft + room * (1 - soft)).astype(np.uint8)
        everybody = np.maximum(everybody, alpha)
    return room, everybody


def _place(frame: Frame, mask: Mask, size: tuple[int, int], rng: Generator) -> tuple[Frame, Mask]:
    """The person of `frame` at a random scale and place of a picture of `size`, or a part of one, and the mask there."""
    inverse = entering(mask, size, rng) if rng.random() < PART else None
    if inverse is None:
        inverse = _whole(mask, size, rng)
    return _warp(frame, inverse, size, cv2.BORDER_REPLICATE), _warp(mask, inverse, size, cv2.BORDER_CONSTANT)


def _whole(mask: Mask, size: tuple[int, int], rng: Generator) -> NDArray[np.float64]:
    """(2, 3) from a picture of `size` to `mask` (h, w), which it shows at a random scale and place."""
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


def camera(frame: Frame, rng: Generator) -> Frame:
    """Light, colour, blur, noise and compression of cheap cameras, each rounded to 8 bits as a camera's own steps are."""
    x = np.asarray(cv2.LUT(frame, _light(rng)), np.uint8)
    if rng.random() < 0.5:
        saturation = 0 if rng.random() < 0.15 else rng.uniform(0.3, 1.5)
        mix = np.full((3, 3), (1 - saturation) / 3) + saturation * np.eye(3)
        x = np.asarray(cv2.transform(x, mix.astype(np.float32)), np.uint8)
    if rng.random() < 0.2:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.6)), np.uint8)
    if rng.random() < 0.08:
        kernel = np.zeros((9, 9), np.float32)
        cv2.line(kernel, (4 - int(rng.integers(0, 5)), 4), (4 + int(rng.integers(1, 5)), int(rng.integers(2, 7))), 1.0)
        x = np.asarray(cv2.filter2D(x, -1, kernel / kernel.sum()), np.uint8)
    if rng.random() < 0.35:
        noise = np.float32(255 * rng.uniform(0.005, 0.06)) * rng.standard_normal(x.shape, np.float32)
        noise += x
        x = np.clip(noise + np.float32(0.5), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        coded = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])[1]
        x = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return x


def _light(rng: Generator) -> NDArray[np.uint8]:
    """(1, 256, 3) what a camera makes of each value of each channel: powers of 768 values, not of all pixels."""
    x: NDArray[Any] = np.repeat(np.arange(256, dtype=np.float32)[None, :, None] / 255, 3, axis=2)
    if rng.random() < 0.8:
        x = x * np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)  # white balance
        x = np.clip(x, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.3)))  # gamma
        x = (x - 0.5) * np.float32(np.exp(rng.normal(0, 0.2))) + 0.5 + np.float32(rng.normal(0, 0.06))  # contrast, light
    if rng.random() < 0.08:
        x = x * np.float32(rng.uniform(0.15, 0.5))  # a dark room
    table: NDArray[np.uint8] = (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)
    return table


def _warp(array: NDArray[np.uint8], inverse: NDArray[np.float64], size: tuple[int, int], border: int) -> NDArray[np.uint8]:
    """`array` seen through `inverse`, which maps output to input coordinates; area-averaged where it shrinks much."""
    shrink = float(np.sqrt(abs(np.linalg.det(inverse[:, :2]))))
    if shrink > 1.5:
        array = np.asarray(cv2.GaussianBlur(array, (0, 0), 0.4 * shrink), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(array, inverse, (size[1], size[0]), flags=flags, borderMode=border), np.uint8)
