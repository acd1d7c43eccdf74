"""Pictures in and out of files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgeseg.errors import DataError, OutputError
from edgeseg.picture_size import MAX_BYTES, MAX_PIXELS, header_size
from edgeseg.runtime.arrays import Alpha, Frame
from edgeseg.runtime.quiet import quiet_stderr
from edgeseg.whole import written_whole


def read_picture(path: Path) -> Frame:
    """A picture as (h, w, 3) uint8 BGR, turned upright by its EXIF orientation; grey becomes BGR, alpha is dropped.

    Raises DataError for a file that is missing, no picture, or larger than `picture_size` allows.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"picture {path} has {path.stat().st_size >> 20} MB; at most {MAX_BYTES >> 20} MB are read")
        data = np.fromfile(path, np.uint8)  # not imread, which fails on non-ASCII paths on some systems
        height, width = header_size(data.tobytes()) or (0, 0)  # of other formats OpenCV has limits of its own
        if height * width > MAX_PIXELS:
            raise DataError(f"picture {path} claims {height}x{width} pixels; at most {MAX_PIXELS:,} are read: make it smaller")
        with quiet_stderr():
            frame = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except OSError as error:
        raise DataError(f"picture {path} cannot be read: {error.strerror or error}") from None
    except cv2.error as error:
        raise DataError(f"picture {path} cannot be decoded: {error.err}; save it again as PNG or JPEG") from None
    if frame is None:
        raise DataError(f"{path} is not a picture that can be decoded; give a PNG or JPEG")
    return frame  # type: ignore[return-value]


def write_picture(path: Path, picture: Frame | Alpha) -> None:
    """Write a picture in the format of the path's suffix; OutputError where that is unknown or the file cannot be written."""
    try:
        good, data = cv2.imencode(path.suffix, picture)
    except cv2.error:
        good = False
    if not good:
        raise OutputError(
            f"{path}: a picture of {picture.shape[0]}x{picture.shape[1]} cannot be written as {path.suffix!r}; use .png"
        )
    with written_whole(path) as part:
        part.write_bytes(data.tobytes())
