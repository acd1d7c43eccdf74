"""The masks that the background blur makes of a video, with its smoothing in time and without, of one inference a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeseg.report.predict import Predictor
from edgeseg.runtime.arrays import Alpha, Frame, Matte
from edgeseg.runtime.infer import half_luma
from edgeseg.runtime.refinement.refiner import Refiner, plane_size
from edgeseg.runtime.refinement.smoothing import Smoother
from edgeseg.runtime.tensors import shrink


class RefinedMasks:
    """Called with the frames of one video in order: (h, w, 3) uint8 BGR -> masks (h, w), decided at half opacity.

    off  the model's matte, fitted to the picture's edges
    on   the same, smoothed in time before that: what `edgeseg blur` shows
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._smoother = Smoother()
        self._refiner = Refiner()

    def __call__(self, frame: Frame) -> dict[str, npt.NDArray[np.bool_]]:
        matte = self._predictor.matte(frame)
        size = (frame.shape[0], frame.shape[1])
        small = shrink(frame, plane_size(*size))
        kinds = {"off": matte, "on": self._smoother(half_luma(small), matte)}
        return {kind: self._refined(small, m, size) > 127 for kind, m in kinds.items()}

    def _refined(self, small: Frame, matte: Matte, size: tuple[int, int]) -> Alpha:
        alpha = np.empty(size, np.uint8)
        self._refiner.finish(self._refiner.fit(small, matte), alpha)
        return alpha
