"""Frames to the tensor a model file takes, and its output back to numbers, as its Spec says.

Every input value depends on one byte of the frame and its channel alone, so normalisation and quantisation together are a
table of 3 x 256 entries. With scale 1/255, zero point -128 and no mean, that table is `byte ^ 0x80`.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.runtime.arrays import Frame, Tensor
from edgeseg.spec import Quantisation, Spec

_INT8_OF_BYTE = (np.arange(256, dtype=np.uint8) ^ 0x80).view(np.int8)


def shrink(frame: Frame, size: tuple[int, int]) -> Frame:
    """Stretch `frame` (or an alpha) to `size` (height, width) without aliasing, cheaply: halve while one can, then interpolate.

    Halving is an exact 2 x 2 mean; an area average of the whole ratio costs several times as much.
    """
    height, width = size
    while frame.shape[0] >= 2 * height and frame.shape[1] >= 2 * width:
        frame = cv2.resize(frame, (frame.shape[1] // 2, frame.shape[0] // 2), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    return frame if frame.shape[:2] == size else stretch(frame, size)


def stretch(frame: Frame, size: tuple[int, int], out: Frame | None = None) -> Frame:
    """The last step of `shrink`: less than a halving left, at least along one axis."""
    height, width = size
    # The other axis may still be far too long (a tall or wide frame): only the area average is safe there.
    steep = frame.shape[0] > 3 * height or frame.shape[1] > 3 * width
    return cv2.resize(frame, (width, height), dst=out, interpolation=cv2.INTER_AREA if steep else cv2.INTER_LINEAR)  # type: ignore[return-value]


class Encoder:
    """`prepare` of one Spec: a frame (h, w, 3) uint8 BGR of any size -> the input tensor."""

    def __init__(self, spec: Spec) -> None:
        self._size = spec.size
        self._swap = spec.colour == "RGB"
        self._channels_first = spec.layout == "NCHW"
        self._table = input_table(spec)
        self._is_xor = self._table.dtype == np.int8 and bool((self._table == _INT8_OF_BYTE[:, None]).all())

    def __call__(self, frame: Frame) -> Tensor:
        small = shrink(frame, self._size)
        if self._swap:
            small = cv2.cvtColor(small, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
        values: Tensor = np.bitwise_xor(small, 0x80).view(np.int8) if self._is_xor else cv2.LUT(small, self._table[None])
        if self._channels_first:
            values = values.transpose(2, 0, 1)
        return np.ascontiguousarray(values[None])


def input_table(spec: Spec) -> npt.NDArray[Any]:
    """(256, 3) in the input's dtype: what each byte becomes in each channel, in the model's colour order."""
    byte = np.arange(256, dtype=np.float64)[:, None]
    real = (byte * spec.scale - np.array(spec.mean)) / np.array(spec.std)
    if spec.input_quantisation is None:
        real32: npt.NDArray[Any] = real.astype(np.float32)
        return real32
    stored = np.rint(real / spec.input_quantisation.scale) + spec.input_quantisation.zero_point
    limits = np.iinfo(spec.input_dtype)
    table: npt.NDArray[Any] = np.clip(stored, limits.min, limits.max).astype(spec.input_dtype)
    return table


def decode(tensor: Tensor, spec: Spec) -> npt.NDArray[np.float32]:
    """The output tensor as (h', w', c) float32, dequantised. Class ids have c = 1."""
    values = tensor[0]
    if values.ndim == 2:
        values = values[..., None]
    elif spec.layout == "NCHW":
        values = values.transpose(1, 2, 0)
    return dequantise(values, spec.output_quantisation)


def dequantise(stored: Tensor, quantisation: Quantisation | None) -> npt.NDArray[np.float32]:
    real: npt.NDArray[np.float32] = stored.astype(np.float32)
    if quantisation is not None:
        real -= np.float32(quantisation.zero_point)
        real *= np.float32(quantisation.scale)
    return real


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    half = np.float32(0.5)
    probability: npt.NDArray[np.float32] = half + half * np.tanh(half * logits)  # the form that cannot overflow
    return probability
