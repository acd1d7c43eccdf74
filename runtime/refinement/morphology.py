"""The shape of the matte: specks and holes, growth, and who counts as the person. All on the small plane, in bytes.

Grey-level morphology keeps soft edges soft; it never asks on which side of one half a pixel is.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from edgeseg.runtime.arrays import Alpha, Matte

SEEN = 0.25  # a matte above this belongs to somebody: where the final smoothstep begins
SURE = 0.75  # above this the final smoothstep shows nothing of what is behind
LOYALTY = 1.25  # another person must be this much larger before the choice changes


def reshape(plane: Alpha, opening: int = 0, closing: int = 0, growth: int = 0) -> Alpha:
    """`plane` (h, w) uint8 without specks, without holes, and grown, in this order; radii in its own pixels.

    opening  removes what is thinner than twice this;  closing  fills gaps that are
    growth   moves the edge outwards, or inwards where negative
    """
    if opening:
        plane = cv2.morphologyEx(plane, cv2.MORPH_OPEN, disc(opening))  # type: ignore[assignment]
    if closing:
        plane = cv2.morphologyEx(plane, cv2.MORPH_CLOSE, disc(closing))  # type: ignore[assignment]
    if growth > 0:
        plane = cv2.dilate(plane, disc(growth))  # type: ignore[assignment]
    if growth < 0:
        plane = cv2.erode(plane, disc(-growth))  # type: ignore[assignment]
    return plane


def fill_holes(matte: Matte, share: float) -> Matte:
    """`matte` (h, w) float32 in 0..1 without the small holes that the person wholly encloses: a print on a shirt, a badge.

    share  of the person's area that a hole may have. In a twentieth of that the network may be sure of seeing the room: what is
           larger is taken for real, as the room between an arm and the body.

    Itself where there are none. A hole and the pixels around it, which it has dragged down, become 1.
    """
    sure = (matte > SURE).view(np.uint8)
    _, family = cv2.findContours(sure, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if family is None or family[..., 3].max() < 0:  # no outline lies within another: asked first, at a tenth of what follows
        return matte
    unsure = 1 - sure
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(unsure, connectivity=4)
    height, width = matte.shape
    most = share * boxes[0, 4]  # label 0 is the person
    small = [
        label
        for label, (x, y, columns, rows, area) in enumerate(boxes.tolist())
        if label and area <= most and x > 0 and y > 0 and x + columns < width and y + rows < height
    ]
    if small:
        room = np.bincount(labels[matte < SEEN], minlength=count)
        small = [label for label in small if room[label] <= most / 20]
    if not small:
        return matte
    chosen = np.zeros(count, np.uint8)
    chosen[small] = 1
    holes = cv2.dilate(chosen[labels], _RING)
    filled: Matte = np.where(holes, np.float32(1), matte)
    return filled


_RING = np.ones((3, 3), np.uint8)


@functools.cache
def disc(radius: int) -> Alpha:
    """The pixels within `radius` of the middle one: (2 radius + 1) squared, 0 or 1. Not to be changed."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)  # type: ignore[return-value]


class LargestPerson:
    """Keeps the largest connected person of each matte; of two of nearly one size, the one it kept before."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._kept: Alpha | None = None

    def __call__(self, matte: Matte) -> Matte:
        """`matte` (h, w) float32 in 0..1 with all other persons taken out; itself where there are not two."""
        seen = (matte > SEEN).astype(np.uint8)
        count, labels = cv2.connectedComponents(seen, connectivity=8)
        if count <= 2:  # the background is one of them
            self._kept = seen
            return matte
        areas = np.bincount(labels.ravel(), weights=matte.ravel(), minlength=count)[:count]
        areas[0] = 0
        if self._kept is not None and self._kept.shape == matte.shape:
            before = np.bincount(labels[self._kept > 0], minlength=count)[:count]
            before[0] = 0
            if before.any():
                areas[before.argmax()] *= LOYALTY
        chosen = labels == areas.argmax()
        self._kept = chosen.astype(np.uint8)
        alone: Matte = np.where(chosen | (labels == 0), matte, np.float32(0))
        return alone
