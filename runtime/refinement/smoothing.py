"""The matte steadied in time: where the picture has not changed, a change of the matte is flicker of the network."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.errors import UsageError
from edgeseg.runtime.arrays import Alpha, Frame, Matte
from edgeseg.runtime.tensors import shrink

KEEP = 0.7  # of the past, from frame to frame
MOTION = 0.03  # luma difference, of 1, that counts as full motion


class Smoother:
    """Steadies the matte without lag: still places are averaged, moving places are followed at once.

    keep    how much of the past is kept where nothing moves, 0 (off) .. 1 (frozen)
    motion  luma difference, of 1, from which on a place is followed at once; infinite: an exponential moving average (EMA),
            which lags behind whatever moves
    """

    def __init__(self, keep: float = KEEP, motion: float = MOTION) -> None:
        if not 0 <= keep <= 1:
            raise UsageError(f"smoothing must keep 0..1 of the past, got {keep:g}")
        self._keep = keep
        self._motion = np.float32(255 * motion)
        self._tables: dict[int, npt.NDArray[np.float32]] = {}
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next frame comes from somewhere else."""
        self._matte: Matte | None = None
        self._luma: Any = None

    def __call__(self, small: Frame | Alpha, matte: Matte, frames: int = 1) -> Matte:
        """The steadied matte. The result is the caller's: nothing of it is kept.

        small   the frame at any size, (h, w, 3) BGR or its luma (h, w)
        frames  since the last call: after as many, as much of the past is left as if it had been called at each
        """
        gray = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        luma = shrink(gray, matte.shape)  # type: ignore[arg-type]
        if self._matte is None or self._luma is None or self._matte.shape != matte.shape:
            steady = matte.copy()
        else:
            moved: Alpha = cv2.dilate(cv2.absdiff(luma, self._luma), _SQUARE)  # type: ignore[assignment]
            steady = self._kept(frames).take(moved)
            steady *= self._matte - matte
            steady += matte
        self._matte, self._luma = steady, luma.copy() if luma is small else luma
        return steady.copy()

    def _kept(self, frames: int) -> npt.NDArray[np.float32]:
        """(256,) how much of the past is kept after so many frames, by how many bytes of luma a place has changed."""
        if frames not in self._tables:
            still = np.maximum(0, 1 - np.arange(256, dtype=np.float32) / self._motion)
            self._tables[frames] = np.float32(self._keep**frames) * still
        return self._tables[frames]


_SQUARE = np.ones((3, 3), np.uint8)
