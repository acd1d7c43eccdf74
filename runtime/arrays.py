"""The arrays that pass between the stages, by name."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Frame: TypeAlias = npt.NDArray[np.uint8]  # (h, w, 3) BGR, as OpenCV has it
Matte: TypeAlias = npt.NDArray[np.float32]  # (h, w) in 0..1, 1 is the person
Alpha: TypeAlias = npt.NDArray[np.uint8]  # (h, w) a finished matte, 255 is the person
Tensor: TypeAlias = npt.NDArray[Any]  # as the model file takes or gives it, first axis 1


class Shot(NamedTuple):
    """A frame, when it was taken, where it comes from, and what of it is the person."""

    frame: Frame
    time_s: float  # since the first frame of its source
    name: str = ""  # stem of the picture file; empty for cameras and videos
    notice: str = ""  # to be written over the finished frame, as "camera gone, waiting"; the frame itself shows nothing then
    small: Frame | None = None  # the same picture from the camera's own scaler, where it has one: what a network takes
    alpha: Alpha | None = None  # of a finished frame; None on the way in, and of frames that are hidden
