"""From the network's coarse matte to a finished one: steadied in time, enlarged, fitted to the picture's edges.

    matte (64, 64) -> Smoother -> enlarge to the plane -> guided filter -> full size -> smoothstep

The plane is the frame shrunk to at most 320 x 180 (or 180 x 320): all work in float is done there, and only the last two steps,
in bytes, at full size.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.runtime.arrays import Alpha, Frame, Matte
from edgeseg.runtime.tensors import shrink

Plane = npt.NDArray[np.float32]

LONG_SIDE, SHORT_SIDE = 320, 180  # of the plane
RADIUS = 6  # of the guided filter, in pixels of the plane: somewhat more than one pixel of a 64 x 64 matte covers
EPS = 2e-4  # regularisation: variations of the picture below sqrt(eps) = 1.4 % count as flat
LOW, HIGH = 0.25, 0.75  # the smoothstep: a matte below LOW is background, above HIGH person


def plane_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the plane for a frame: the frame halved until it fits, or scaled where halving cannot."""
    scale = min(1.0, LONG_SIDE / max(height, width), SHORT_SIDE / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def refine(frame: Frame, matte: Matte, radius: int = RADIUS, eps: float = EPS) -> Alpha:
    """A finished matte at the frame's size: `matte` fitted to the edges of `frame`.

    frame  (h, w, 3) uint8 BGR
    matte  (h', w') float32 in 0..1, any size; it covers the whole frame
    returns  (h, w) uint8, 255 is the person
    """
    small = shrink(frame, plane_size(*frame.shape[:2]))
    return finish(fit(small, matte, radius, eps), (frame.shape[0], frame.shape[1]))


def fit(small: Frame, matte: Matte, radius: int = RADIUS, eps: float = EPS) -> Plane:
    """`matte` enlarged to the plane `small` (h, w, 3) and fitted to its edges; (h, w) float32 in 0..1."""
    return np.clip(guided_filter(small, enlarge(matte, (small.shape[0], small.shape[1])), radius, eps), 0, 1)


def finish(plane: Plane, size: tuple[int, int]) -> Alpha:
    """The plane at the frame's `size` as bytes, its ramp steepened by one smoothstep; never cut off before that."""
    bytes_ = cv2.convertScaleAbs(plane, alpha=255)
    full = cv2.resize(bytes_, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return cv2.LUT(full, _SMOOTHSTEP, dst=full)  # type: ignore[return-value]


def smoothstep(x: npt.NDArray[np.float64], low: float = LOW, high: float = HIGH) -> npt.NDArray[np.float64]:
    """0 below `low`, 1 above `high`, and 3t^2 - 2t^3 between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


_SMOOTHSTEP = np.rint(255 * smoothstep(np.arange(256) / 255)).astype(np.uint8)


def enlarge(matte: Matte, size: tuple[int, int]) -> Plane:
    """`matte` at `size` (height, width) by cubic interpolation, which keeps slanted edges free of stairs."""
    if matte.shape == size:
        return matte
    return np.clip(cv2.resize(matte, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), 0, 1)


def guided_filter(guide: Frame, matte: Plane, radius: int, eps: float) -> Plane:
    """The fast guided filter with a colour guide (He, Sun & Tang 2013, eq. 19-21; He & Sun 2015, algorithm 2).

    In every window the matte is fitted as a linear function of the three colours, q = a . I + b. The fit is made at half the
    size, where it costs a quarter; its smooth coefficients are enlarged and applied at full size.

    guide  (h, w, 3) uint8;  matte  (h, w) float32;  radius in pixels of the guide;  eps for colours in 0..1
    """
    height, width = matte.shape
    half = (max(1, width // 2), max(1, height // 2))
    window = (2 * max(1, radius // 2) + 1,) * 2
    colour = cv2.resize(guide, half, interpolation=cv2.INTER_LINEAR)
    p = cv2.resize(matte, half, interpolation=cv2.INTER_LINEAR)

    def mean(plane: Any) -> Any:
        return cv2.blur(plane, window, borderType=cv2.BORDER_REFLECT)

    def covariance(x: Any, y: Any, mean_x: Any, mean_y: Any) -> Any:
        return mean(x * y) - mean_x * mean_y

    c = [plane.astype(np.float32) * np.float32(1 / 255) for plane in cv2.split(colour)]
    m, mp = [mean(plane) for plane in c], mean(p)
    e = np.float32(eps)
    bb, gg, rr = (covariance(c[i], c[i], m[i], m[i]) + e for i in range(3))
    bg, br, gr = (covariance(c[i], c[j], m[i], m[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    pb, pg, pr = (covariance(c[i], p, m[i], mp) for i in range(3))
    # a = inverse(covariance + eps) . correlation, by the cofactors of the symmetric 3 x 3 matrix
    c00, c01, c02 = gg * rr - gr * gr, br * gr - bg * rr, bg * gr - br * gg
    c11, c12, c22 = bb * rr - br * br, bg * br - bb * gr, bb * gg - bg * bg
    scale = 1 / np.maximum(bb * c00 + bg * c01 + br * c02, np.float32(1e-18))
    ab = (c00 * pb + c01 * pg + c02 * pr) * scale
    ag = (c01 * pb + c11 * pg + c12 * pr) * scale
    ar = (c02 * pb + c12 * pg + c22 * pr) * scale
    constant = mp - ab * m[0] - ag * m[1] - ar * m[2]
    q: Plane = np.zeros((height, width), np.float32)
    for coefficient, plane in zip((ab, ag, ar), cv2.split(guide), strict=True):
        q += cv2.multiply(cv2.resize(mean(coefficient), (width, height)), plane, scale=1 / 255, dtype=cv2.CV_32F)
    q += cv2.resize(mean(constant), (width, height))
    return q


class Smoother:
    """Steadies the matte in time without lag: still places are averaged, moving places are followed at once.

    Where the picture has not changed, a change of the matte is flicker of the network; where it has, it is motion.

    keep  how much of the past is kept where nothing moves, 0 (off) .. 1 (frozen)
    """

    def __init__(self, keep: float = 0.7, motion: float = 0.03) -> None:
        self._keep = np.float32(keep)
        self._motion = np.float32(motion)  # luma difference, of 1, that counts as full motion
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next frame comes from somewhere else."""
        self._matte: Matte | None = None
        self._luma: Plane | None = None

    def __call__(self, small: Frame, matte: Matte) -> Matte:
        """The steadied matte; `small` is the frame at any size. The result is the caller's: nothing of it is kept."""
        gray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        luma = cv2.resize(gray, matte.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
        if self._matte is None or self._luma is None or self._matte.shape != matte.shape:
            steady = matte.copy()
        else:
            moved = cv2.dilate(cv2.absdiff(luma, self._luma), np.ones((3, 3), np.uint8)) / self._motion
            steady = matte + self._keep * np.maximum(0, 1 - moved) * (self._matte - matte)
        self._matte, self._luma = steady, luma
        return steady.copy()
