"""Pictures of unknown origin: their size is read from the header before a pixel is decoded."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import DataError
from edgeseg.picture_size import MAX_BYTES, MAX_PIXELS, header_size

Frame = NDArray[np.uint8]  # (h, w, 3) BGR


class PictureError(DataError):
    """A file that cannot be used as a picture; the message begins with its name."""


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The whole file; PictureError where it is missing, empty or larger than `limit` bytes."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise PictureError(f"{path} has {size >> 20} MB; at most {limit >> 20} MB are read")
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {error.strerror or error}") from None
    if not data:
        raise PictureError(f"{path} is empty")
    return data


def decode(data: bytes, name: object, flags: int) -> NDArray[np.generic]:
    """The picture in `data` as OpenCV decodes it with `flags`; PictureError, beginning with `name`, where it cannot be used."""
    size = header_size(data)
    if size is None:
        raise PictureError(f"{name} is no PNG, JPEG, BMP, TIFF or WebP picture, or its header is broken")
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise PictureError(f"{name} claims {size[0]}x{size[1]} pixels; at most {MAX_PIXELS:,} are read")
    # OpenCV fills the missing part of a JPEG that was cut off with grey and says nothing; the end marker tells.
    if data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data[-65536:]:
        raise PictureError(f"{name} is cut off: the JPEG has no end")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        picture = None
    if picture is None:
        raise PictureError(f"{name} cannot be decoded as a picture")
    return picture


def read_frame(path: Path) -> Frame:
    """(h, w, 3) BGR, turned as its EXIF says. PictureError where it cannot be used."""
    return np.asarray(decode(read_bytes(path), path, cv2.IMREAD_COLOR), np.uint8)


def read_plane(path: Path) -> NDArray[np.uint8]:
    """(h, w) uint8 as stored: a grey picture, or a palette one whose colours are grey. PictureError for any other."""
    stored = decode(read_bytes(path), path, cv2.IMREAD_UNCHANGED)
    if stored.ndim == 3 and (stored[..., :1] == stored[..., :3]).all():
        stored = stored[..., 0]
    if stored.ndim != 2 or stored.dtype != np.uint8:
        raise PictureError(f"{path} must be an 8-bit picture with one channel, got {stored.shape} {stored.dtype}")
    return np.asarray(stored, np.uint8)


def read_size(path: Path) -> tuple[int, int]:
    """(height, width) of a picture that is not decoded; PictureError where the header does not tell."""
    size = header_size(read_bytes(path))
    if size is None:
        raise PictureError(f"{path} is no picture, or its header is broken")
    return size
