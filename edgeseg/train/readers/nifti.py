"""NIfTI-1 volumes (.nii, .nii.gz), one slice at a time.

Header of 348 bytes as nifti1.h defines it (NIfTI Data Format Working Group, 2007): dim at 40, datatype at 70, vox_offset at
108, scl_slope and scl_inter at 112, magic at 344. x runs fastest, then y, then z.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from edgeseg.picture_size import MAX_PIXELS
from edgeseg.train.pictures import PictureError

DATATYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}  # NIFTI_TYPE_*
MAX_SLICES = 10_000
MAX_UNPACKED_BYTES = 2 << 30  # the largest volume of LiTS has 517 MB


@dataclass(frozen=True)
class Header:
    """Size (slices, height, width), how a number is stored, where the first one is, and value = slope * stored + inter."""

    slices: int
    height: int
    width: int
    dtype: np.dtype[np.generic]
    offset: int
    slope: float
    inter: float


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise PictureError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_header(path: Path) -> Header:
    """PictureError for what is no NIfTI-1 volume of three dimensions, or too large to be true."""
    with _open(path) as file:
        data = file.read(348)
    order = next((o for o in "<>" if len(data) == 348 and struct.unpack_from(f"{o}i", data)[0] == 348), None)
    if order is None or data[344:348] != b"n+1\0":
        raise PictureError(f"{path} is no NIfTI-1 file (header and data in one file)")
    dim = struct.unpack_from(f"{order}8h", data, 40)
    (datatype,) = struct.unpack_from(f"{order}h", data, 70)
    offset, slope, inter = struct.unpack_from(f"{order}3f", data, 108)
    if not 3 <= dim[0] <= 7 or min(dim[1:4]) < 1 or any(d > 1 for d in dim[4 : dim[0] + 1]):
        raise PictureError(f"{path} has dimensions {dim[1 : max(1, dim[0]) + 1]}; three are read")
    if dim[1] * dim[2] > MAX_PIXELS or dim[3] > MAX_SLICES:
        raise PictureError(f"{path} claims {dim[3]} slices of {dim[2]}x{dim[1]} pixels")
    if datatype not in DATATYPES:
        raise PictureError(f"{path} has the data type {datatype}; {', '.join(map(str, DATATYPES))} are read")
    if not 348 <= offset <= 1 << 20:
        raise PictureError(f"{path} has its data at byte {offset:g}")
    scaled = bool(slope) and np.isfinite([slope, inter]).all()  # a slope of 0 means: not scaled
    dtype = np.dtype(order + DATATYPES[datatype])
    return Header(dim[3], dim[2], dim[1], dtype, int(offset), slope if scaled else 1.0, inter if scaled else 0.0)


class Volume:
    """Slices of a volume by index. A compressed one is unpacked into memory once, since seeking in gzip is slow."""

    def __init__(self, path: Path) -> None:
        self.path, self.header = path, read_header(path)
        self._unpacked: bytes | None = None
        if path.suffix == ".gz":
            if self.header.slices * self._slice_bytes > MAX_UNPACKED_BYTES:
                raise PictureError(f"{path} unpacks to more than {MAX_UNPACKED_BYTES >> 20} MB; gunzip it first")
            with _open(path) as file:
                file.seek(self.header.offset)
                self._unpacked = file.read(self.header.slices * self._slice_bytes)

    @property
    def _slice_bytes(self) -> int:
        return self.header.height * self.header.width * self.header.dtype.itemsize

    def slice(self, z: int) -> npt.NDArray[np.float32]:
        """(h, w) values of slice z. PictureError where the file ends before."""
        h, size = self.header, self._slice_bytes
        if self._unpacked is not None:
            data = self._unpacked[z * size : (z + 1) * size]
        else:
            with _open(self.path) as file:
                file.seek(h.offset + z * size)
                data = file.read(size)
        if len(data) != size:
            raise PictureError(f"{self.path} ends in slice {z} of {h.slices}")
        values = np.frombuffer(data, h.dtype).reshape(h.height, h.width).astype(np.float32)
        return values * np.float32(h.slope) + np.float32(h.inter)
