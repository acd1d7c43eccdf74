"""What a picture's header says of its size, and how large a picture may be: asked before a pixel is decoded.

A file of some kilobytes may claim 10^9 pixels, and OpenCV would take the memory for them.
"""

from __future__ import annotations

import struct

MAX_PIXELS = 120_000_000  # 10,000 x 12,000: more than any published set; 360 MB decoded
MAX_BYTES = 512 << 20

# Markers that carry no length; SOF markers (the size) are 0xC0 to 0xCF without DHT, JPG and DAC. ITU-T T.81, table B.1.
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}
_JPEG_SIZE = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_TIFF_FORMAT = {1: "B", 3: "H", 4: "I", 16: "Q"}


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
