"""Pictures of unknown origin: their size is read from the header before a pixel is decoded.

A file of some kilobytes may claim 10^9 pixels, and OpenCV would take the memory for them.
"""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import DataError

Frame = NDArray[np.uint8]  # (h, w, 3) BGR

MAX_PIXELS = 120_000_000  # 10,000 x 12,000: more than any published set; 360 MB decoded
MAX_BYTES = 512 << 20

# Markers that carry no length; SOF markers (the size) are 0xC0 to 0xCF without DHT, JPG and DAC. ITU-T T.81, table B.1.
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}
_JPEG_SIZE = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_TIFF_FORMAT = {1: "B", 3: "H", 4: "I", 16: "Q"}


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


def header_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) that the header of a PNG, JPEG, BMP, TIFF or WebP claims; None for any other or a broken header."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", data, 16)
        elif data.startswith(b"\xff\xd8"):
            height, width = _jpeg_size(data)
        elif data.startswith(b"BM"):
            width, height = map(abs, struct.unpack_from("<ii", data, 18))  # a negative height: the top row comes first
        elif data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            height, width = _tiff_size(data)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            height, width = _webp_size(data)
        else:
            return None
    except (struct.error, IndexError, KeyError, ValueError, OverflowError):
        return None
    return height, width


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError("no marker")
        marker = data[at + 1]
        if marker in _JPEG_SIZE:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return height, width
        if marker == 0xFF:  # a fill byte
            at += 1
        else:
            at += 2 if marker in _JPEG_BARE else 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])


def _tiff_size(data: bytes) -> tuple[int, int]:
    """Tags 256 (width) and 257 (height) of the first directory; TIFF 6.0, and BigTIFF whose numbers have 8 bytes."""
    order, big = "<" if data[:2] == b"II" else ">", b"+" in data[2:4]
    (at,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)
    found = {}
    for i in range(min(count, 4096)):
        entry = at + (8 + 20 * i if big else 2 + 12 * i)
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag in (256, 257):
            found[tag] = struct.unpack_from(order + _TIFF_FORMAT[kind], data, entry + (12 if big else 8))[0]
    return found[257], found[256]


def _webp_size(data: bytes) -> tuple[int, int]:
    if len(data) < 30:
        raise ValueError("cut off")
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return height & 0x3FFF, width & 0x3FFF


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
