"""The room out of focus, with nothing of the person in it: normalised convolution on a small picture.

    blur(frame * b) / blur(b), with b the background's weight

A plain blur spreads the person's colours into the room as a halo, and a matte a few pixels too tight lets some of it back in;
so the person is grown by a guard, for this weight only. Where no room is in reach, far inside the person, the blur falls back
on one four times as wide, and that on the mean of the room: a soft edge or a hole of the matte then shows room, never black.

Colour and weight go through the same filters, as four planes of 16 bits (of floats, for bokeh).
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np

from edgeseg.runtime.arrays import Alpha, Frame
from edgeseg.runtime.buffers import Buffers
from edgeseg.runtime.composite.bokeh import blur_disc, bytes_of, light_of
from edgeseg.runtime.refinement.morphology import disc
from edgeseg.runtime.tensors import shrink

Kind = Literal["gaussian", "box", "bokeh"]

THIN = 0.01  # weight of the wider blur that steps in where the room is out of reach; it floors the denominator


def masked_blur(
    frame: Frame, alpha: Alpha, sigma: float, guard: float, kind: Kind = "gaussian", buffers: Buffers | None = None
) -> Frame:
    """`frame` blurred as if the person were not there.

    frame  (h, w, 3) uint8, small;  alpha  (h, w) uint8;  sigma, guard  in pixels of this small frame
    kind   of the blur, of standard deviation sigma: "gaussian"; "box", the cheapest; "bokeh", discs as a lens makes them

    With `buffers` the result lasts until the next call with them.
    """
    buffers = buffers or Buffers()
    height, width = alpha.shape
    grown = cv2.dilate(alpha, disc(max(1, round(guard))))
    # Half a person is no room: 1 - 2 alpha, not below 0.
    weight: Alpha = cv2.LUT(grown, _ROOM_WEIGHT)  # type: ignore[assignment]
    if not weight.any():  # no room is seen at all: there is nothing to keep apart
        weight[:] = 255
    planes = _lit(frame, weight, buffers) if kind == "bokeh" else _weighted(frame, weight, buffers)
    coarse = shrink(planes, (max(1, height // 4), max(1, width // 4)))
    mean = np.array(cv2.mean(planes), np.float32)
    near = _BLURS[kind](planes, sigma, buffers)
    wide = blur_gaussian(coarse.copy(), sigma) + THIN * FULL / mean[3] * mean
    wide *= FULL / wide[..., 3:]
    far = buffers.take("far", near.shape, near.dtype)
    cv2.resize(wide.astype(near.dtype), (width, height), dst=far, interpolation=cv2.INTER_LINEAR)
    both = buffers.take("both", near.shape, np.float32)
    cv2.addWeighted(near, 1 - THIN, far, THIN, 0, dst=both, dtype=cv2.CV_32F)
    *colours, total = cv2.split(both)
    if kind == "bokeh":
        shares = [bytes_of(cv2.divide(colour, total)) for colour in colours]
    else:
        shares = [cv2.divide(colour, total, scale=255, dtype=cv2.CV_8U) for colour in colours]
    return cv2.merge(shares, dst=buffers.take("blurred", frame.shape))  # type: ignore[return-value]


FULL = np.float32(255 * 255)  # the weight of the room alone
_ROOM_WEIGHT = (255 - 2 * np.arange(256)).clip(0).astype(np.uint8)


def _weighted(frame: Frame, weight: Alpha, buffers: Buffers) -> Any:
    """(h, w, 4) uint16: the colours times the weight, and 255 times the weight."""
    size = (*weight.shape, 4)
    colours = cv2.cvtColor(frame, cv2.COLOR_BGR2BGRA, dst=buffers.take("colours", size))  # its fourth plane is 255
    return np.multiply(colours, weight[..., None], dtype=np.uint16, out=buffers.take("planes", size, np.uint16))


def _lit(frame: Frame, weight: Alpha, buffers: Buffers) -> Any:
    """(h, w, 4) float32: the light times the weight, and the weight, on the scale of `_weighted`."""
    planes = buffers.take("lit", (*weight.shape, 4), np.float32)
    np.multiply(weight, np.float32(255), out=planes[..., 3])
    for index, colour in enumerate(cv2.split(frame)):
        np.multiply(light_of(colour), planes[..., 3], out=planes[..., index])
    return planes


def blur_gaussian(planes: Any, sigma: float, _: Buffers | None = None) -> Any:
    """Three box filters in place of a Gaussian above a pixel or two: nearly the same, at a cost that sigma does not change.

    In place: `planes` are used up.
    """
    if sigma < 1.5:
        return cv2.GaussianBlur(planes, (0, 0), sigma, dst=planes)
    for width in _widths(sigma):
        cv2.blur(planes, (width, width), dst=planes)
    return planes


def _widths(sigma: float, boxes: int = 3) -> list[int]:
    """Odd widths of boxes whose variances, (w^2 - 1) / 12 each, come nearest to that of the Gaussian (Kovesi 2010)."""
    narrow = int(np.sqrt(12 * sigma**2 / boxes + 1))
    narrow -= 1 - narrow % 2
    of_narrow = round((12 * sigma**2 - boxes * (narrow + 1) * (narrow + 3)) / (-4 * (narrow + 1)))
    return [narrow if index < of_narrow else narrow + 2 for index in range(boxes)]


def blur_box(planes: Any, sigma: float, _: Buffers | None = None) -> Any:
    """One box of the same variance: the cheapest blur, with the corners of a box. In place."""
    width = 2 * max(1, round((np.sqrt(12 * sigma**2 + 1) - 1) / 2)) + 1
    return cv2.blur(planes, (width, width), dst=planes)


def blur_bokeh(planes: Any, sigma: float, buffers: Buffers | None = None) -> Any:
    """Discs, whose standard deviation along an axis is half their radius."""
    return blur_disc(planes, 2 * sigma, buffers)


_BLURS = {"gaussian": blur_gaussian, "box": blur_box, "bokeh": blur_bokeh}
