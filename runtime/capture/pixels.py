"""A camera's raw bytes to BGR, by the four letters of their format.

Colours are BT.601 in limited range, which is what webcams send and what OpenCV converts.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.errors import CaptureError
from edgeseg.runtime.arrays import Frame

Bytes = npt.NDArray[np.uint8]

# fourcc -> (bytes of a row for each pixel, rows for each row of the picture, OpenCV's conversion)
PACKED = {
    "YUYV": (2, 1.0, cv2.COLOR_YUV2BGR_YUYV),
    "YVYU": (2, 1.0, cv2.COLOR_YUV2BGR_YVYU),
    "UYVY": (2, 1.0, cv2.COLOR_YUV2BGR_UYVY),
    "NV12": (1, 1.5, cv2.COLOR_YUV2BGR_NV12),
    "YU12": (1, 1.5, cv2.COLOR_YUV2BGR_I420),
    "YV12": (1, 1.5, cv2.COLOR_YUV2BGR_YV12),
    "RGB3": (3, 1.0, cv2.COLOR_RGB2BGR),
    "BGR3": (3, 1.0, None),
    "GREY": (1, 1.0, cv2.COLOR_GRAY2BGR),
}
COMPRESSED = ("MJPG", "JPEG")


def to_bgr(data: Bytes, fourcc: str, size_hw: tuple[int, int], stride: int = 0) -> Frame | None:
    """The frame (h, w, 3) in `data`, in memory of its own; None where it is cut short or damaged: the next may be whole.

    stride  bytes from one row to the next, where the driver pads them
    """
    if fourcc in COMPRESSED:
        return _decompress(data)
    if fourcc not in PACKED:
        raise CaptureError(f"the camera gives pictures as {fourcc!r}, which edgeseg cannot read; it reads {', '.join(PACKED)}")
    wide, tall, conversion = PACKED[fourcc]
    height, width = size_hw
    row, rows = width * wide, int(height * tall)
    if stride > row and fourcc in ("YU12", "YV12"):  # their chroma rows are half as long, and so is the padding of these
        return _padded_planes(data, fourcc, size_hw, stride)
    stride = max(stride, row)
    if data.size < stride * (rows - 1) + row:
        return None
    plane = np.lib.stride_tricks.as_strided(data, (rows, row), (stride, 1)) if stride > row else data[: rows * row]
    plane = np.ascontiguousarray(plane).reshape(rows, width, wide) if wide > 1 else plane.reshape(rows, width)
    if conversion is None:
        return plane.copy()
    converted: Any = cv2.cvtColor(plane, conversion)
    return converted  # type: ignore[no-any-return]


def _decompress(data: Bytes) -> Frame | None:
    """A JPEG, if it is whole: webcams on a busy bus send halves, which would show as grey bands."""
    tail = data[-64:].tobytes().rstrip(b"\0")
    if data.size < 4 or data[0] != 0xFF or data[1] != 0xD8 or b"\xff\xd9" not in tail:
        return None
    try:
        frame: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return frame  # type: ignore[no-any-return]


def _padded_planes(data: Bytes, fourcc: str, size_hw: tuple[int, int], stride: int) -> Frame | None:
    height, width = size_hw
    if data.size < stride * height * 3 // 2:
        return None
    luma = data[: stride * height].reshape(height, stride)[:, :width]
    chroma = data[stride * height : stride * height * 3 // 2].reshape(height, stride // 2)[:, : width // 2]
    tight = np.concatenate([luma.ravel(), chroma.ravel()])
    return to_bgr(tight, fourcc, size_hw)
