"""The fast guided filter: a coarse matte is fitted to the edges of the picture.

He, Sun & Tang, "Guided Image Filtering", 2013, equations 19 to 21; He & Sun, "Fast Guided Filter", 2015, algorithm 2.
"""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.runtime import native
from edgeseg.runtime.arrays import Alpha, Frame, Matte
from edgeseg.runtime.buffers import Buffers
from edgeseg.runtime.tensors import shrink

RADIUS = 8  # in pixels of the guide: somewhat more than one pixel of a 64 x 64 matte covers
EPS = 2e-4  # regularisation: variations of the guide below sqrt(eps) = 1.4 % count as flat
STRIDE = native.STRIDE  # the fit is made for every fourth pixel along both axes, from a guide of that size
SMOOTH = 3  # width of the box that averages the coefficients of overlapping windows, in strides
FAINT = 0.05  # where no window holds more of the person than this, nothing will be left of it: the final step begins at 0.25

Planes = npt.NDArray[np.float32]  # (k, h, w)


class GuidedFilter:
    """In every window the matte is fitted as a linear function of the three colours, q = a . I + b.

    The fit is made on a sixteenth of the pixels; its smooth coefficients are enlarged and applied to every pixel of the guide.

    radius  of the windows, in pixels of the guide;  eps  for colours in 0..1
    """

    def __init__(self, radius: int = RADIUS, eps: float = EPS) -> None:
        self._reach = max(1, round(radius / STRIDE))
        self._eps = np.float32(eps)
        self._buffers = Buffers()

    def __call__(self, guide: Frame, matte: Matte) -> Alpha:
        """`matte` (h', w') float32 in 0..1, of any size, at the size of `guide` (h, w, 3) uint8 and along its edges.

        Returns (h, w) uint8, 255 is the person. It lasts until the next call.
        """
        rows, columns = grid = max(1, guide.shape[0] // STRIDE), max(1, guide.shape[1] // STRIDE)
        colours: Frame = cv2.resize(guide, (columns, rows), interpolation=cv2.INTER_LINEAR).reshape(*grid, 3)  # type: ignore[assignment]
        p: Matte = shrink(matte, grid).reshape(grid)  # type: ignore[arg-type]
        q = self._buffers.take("q", guide.shape[:2])
        if guide.shape[:2] != (rows * STRIDE, columns * STRIDE):  # windows and pixels do not lie on one grid
            self._apply(self._fitted(colours, p), guide, q)
            return q
        q[:] = 0
        top, left, bottom, right = seen = self._seen(p)
        if bottom > top and native.available():
            guide, p = np.ascontiguousarray(guide), np.ascontiguousarray(p)
            native.guided(guide, colours, p, seen, self._reach, SMOOTH // 2, float(self._eps), q)
        elif bottom > top:
            where = np.s_[top * STRIDE : bottom * STRIDE, left * STRIDE : right * STRIDE]
            self._apply(self._fitted(colours[top:bottom, left:right], p[top:bottom, left:right]), guide[where], q[where])
        return q

    def _seen(self, p: Matte) -> tuple[int, int, int, int]:
        """The rows and columns of the windows that hold some of the person: first, first, one behind the last, and again."""
        x, y, width, height = cv2.boundingRect((p > FAINT).view(np.uint8))
        if not width:
            return 0, 0, 0, 0
        rim = self._reach + SMOOTH // 2 + 1  # the last are there for the pixels between them and the last but one
        return max(0, y - rim), max(0, x - rim), min(p.shape[0], y + height + rim), min(p.shape[1], x + width + rim)

    def _apply(self, fit: Planes, guide: Frame, out: Alpha) -> None:
        """q = a . I + b at every pixel of `guide`, in bytes."""
        part = self._buffers.part
        size, shape = (guide.shape[1], guide.shape[0]), guide.shape[:2]
        product, enlarged, q = (part(name, shape, np.float32) for name in ("product", "coefficient", "sum"))
        cv2.resize(fit[3], size, dst=q, interpolation=cv2.INTER_LINEAR)
        colour = part("colour", shape)
        for channel in range(3):
            cv2.resize(fit[channel], size, dst=enlarged, interpolation=cv2.INTER_LINEAR)
            cv2.extractChannel(guide, channel, dst=colour)  # of a part of a picture, cv2.split takes ten times as long
            cv2.multiply(enlarged, colour, dst=product, dtype=cv2.CV_32F)
            cv2.add(q, product, dst=q)
        cv2.threshold(q, 0, 0, cv2.THRESH_TOZERO, dst=q)
        cv2.convertScaleAbs(q, dst=out)

    def _fitted(self, colours: Frame, matte: Matte) -> Planes:
        """(4, h, w) coefficients of the colours, for bytes, and the constant, averaged over the windows that hold a pixel.

        colours (h, w, 3) uint8 and matte (h, w) float32 are those of the windows. They are handled three planes at a time. Blue
        and green stand once more behind red, so that the next colour and the one after it, in a circle, are slices too.
        """
        rows, columns = matte.shape
        rim = self._reach + SMOOTH // 2
        mirrored = _mirrored(rows, rim)
        part = self._buffers.part
        shape = (len(mirrored), columns)
        stack, means = part("planes", (15, *shape), np.float32), part("means", (15, *shape), np.float32)
        c, p = stack[:5], stack[5]  # blue, green, red, blue, green; matte; 9 products
        # Mirrored beyond the upper and lower edge: then all planes can be filtered at once, as one tall picture.
        np.multiply(colours.take(mirrored, axis=0).transpose(2, 0, 1), np.float32(1 / 255), out=c[:3])
        c[3:] = c[:2]
        p[:] = matte.take(mirrored, axis=0)
        _products(c, p, stack[6:])
        window = (2 * self._reach + 1,) * 2
        cv2.blur(_tall(stack), window, dst=_tall(means), borderType=cv2.BORDER_REFLECT)
        # Covariances are means of products less products of means.
        m, mp, moments = means[:5], means[5], means[6:]
        _products(m, mp, stack[6:])
        moments -= stack[6:]
        return self._solved(m, mp, moments)[:, rim : rim + rows]

    def _solved(self, m: Planes, mp: npt.NDArray[np.float32], moments: Planes) -> Planes:
        """The coefficients from means of the colours and the matte, and covariances bb, gg, rr, gr, rb, bg, pb, pg, pr.

        a = inverse(covariance + eps) . correlation, by the cofactors of the symmetric 3 x 3 matrix
        """
        part, shape = self._buffers.part, moments.shape[1:]
        same, other, along = (_circled(moments[i : i + 3], part(name, (5, *shape), np.float32)) for i, name in _PARTS)
        same += self._eps
        squares = same[1:4] * same[2:5]
        squares -= other[:3] * other[:3]
        crossed = part("crossed", (5, *shape), np.float32)
        np.multiply(other[1:4], other[2:5], out=crossed[:3])
        crossed[:3] -= other[:3] * same[:3]
        crossed[3:] = crossed[:2]
        determinant = same[0] * squares[0]
        determinant += other[1] * crossed[1]
        determinant += other[2] * crossed[2]
        fit: Planes = part("fit", (4, *shape), np.float32)
        np.multiply(squares, along[:3], out=fit[:3])
        fit[:3] += crossed[2:5] * along[1:4]
        fit[:3] += crossed[1:4] * along[2:5]
        fit[:3] /= np.maximum(determinant, np.float32(1e-18))
        np.subtract(mp, (fit[:3] * m[:3]).sum(axis=0), out=fit[3])
        fit[3] *= 255  # colours are applied as bytes, so that only the constant has to be scaled to the result's bytes
        # The outermost rows have been averaged with those of other planes, and may be anything, even huge.
        fit[:, : self._reach] = fit[:, -self._reach :] = 0
        averaged: Planes = part("averaged", fit.shape, np.float32)
        cv2.blur(_tall(fit), (SMOOTH, SMOOTH), dst=_tall(averaged), borderType=cv2.BORDER_REFLECT)
        return averaged


_PARTS = ((0, "same"), (3, "other"), (6, "along"))


def _products(c: Planes, p: npt.NDArray[np.float32], out: Planes) -> None:
    """bb, gg, rr, then gr, rb, bg, then pb, pg, pr."""
    np.multiply(c[:3], c[:3], out=out[:3])
    np.multiply(c[1:4], c[2:5], out=out[3:6])
    np.multiply(c[:3], p, out=out[6:9])


def _circled(planes: Planes, out: Planes) -> Planes:
    """Three planes and the first two again, in `out`."""
    out[:3], out[3:] = planes, planes[:2]
    return out


def _tall(planes: Planes) -> Any:
    return planes.reshape(-1, planes.shape[2])


@functools.lru_cache(maxsize=64)
def _mirrored(rows: int, rim: int) -> npt.NDArray[np.intp]:
    """The indices of `rows` rows with `rim` more on either side, mirrored at the edges, and these included."""
    return np.pad(np.arange(rows), rim, mode="symmetric")
