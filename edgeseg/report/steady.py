"""The masks that the background blur makes of a video, with its smoothing in time and without, of one inference a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeseg.report.predict import Predictor
from edgeseg.runtime.arrays import Frame
from edgeseg.runtime.refine import Smoother, finish, fit, plane_size
from edgeseg.runtime.tensors import shrink


class RefinedMasks:
    """Called with the frames of one video in order: (h, w, 3) uint8 BGR -> masks (h, w), decided at half opacity.

    off  the model's matte, fitted to the picture's edges
    on   the same, smoothed in time before that: what `edgeseg blur` shows
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._smoother = Smoother()

    def __call__(self, frame: Frame) -> dict[str, npt.NDArray[np.bool_]]:
        matte = self._predictor.matte(frame)
        size = (frame.shape[0], frame.shape[1])
        small = shrink(frame, plane_size(*size))
        kinds = {"off": matte, "on": self._smoother(small, matte)}
        return {kind: finish(fit(small, m), size) > 127 for kind, m in kinds.items()}
