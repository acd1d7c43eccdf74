"""Augmentation for webcams: framing, and what cheap cameras do to a picture. Other rooms are in `composite.py`.

Every function takes and gives `frame` (h, w, 3) uint8 BGR and `mask` (h, w) uint8, and draws from the generator it is
given, so that a seed repeats a training.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.train.data import Frame, Mask

Generator = np.random.Generator
CLOSE = 0.15  # share of the views that are close-ups: a torso, a leg, a hand that holds something, without a head


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
    seen = warp(frame, inverse, size, cv2.BORDER_REFLECT_101)
    seen_mask = None if mask is None else warp(mask, inverse, size, cv2.BORDER_REFLECT_101)
    if ids is None:
        return seen, seen_mask, None
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    seen_ids = cv2.warpAffine(ids, inverse, (size[1], size[0]), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return seen, seen_mask, np.asarray(seen_ids, np.uint8)


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


def warp(array: NDArray[np.uint8], inverse: NDArray[np.float64], size: tuple[int, int], border: int) -> NDArray[np.uint8]:
    """`array` seen through `inverse`, which maps output to input coordinates; area-averaged where it shrinks much."""
    shrink = float(np.sqrt(abs(np.linalg.det(inverse[:, :2]))))
    if shrink > 1.5:
        array = np.asarray(cv2.GaussianBlur(array, (0, 0), 0.4 * shrink), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(array, inverse, (size[1], size[0]), flags=flags, borderMode=border), np.uint8)
