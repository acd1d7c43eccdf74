"""What is done to every pixel of a frame, in C, where the kernels of this folder have been compiled and the processor can run
them; elsewhere the callers do the same with OpenCV and NumPy, in one and a half times to three times the time.

They are an optional part of the install: without GCC, or on other processors than x86-64 with AVX2 and aarch64, there are none.
EDGESEG_NATIVE=0 in the environment leaves them alone.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.runtime.arrays import Alpha, Frame, Matte

STRIDE = 4  # pixels of the guide from one window of `guided` to the next

_INT, _FLOAT, _LONG = ctypes.c_int, ctypes.c_float, ctypes.c_int64
_BYTES, _FLOATS = ctypes.POINTER(ctypes.c_uint8), ctypes.POINTER(ctypes.c_float)
_DTYPES = {_BYTES: np.dtype(np.uint8), _FLOATS: np.dtype(np.float32)}
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "halve": (_BYTES, _INT, _INT, _BYTES),
    "guided": (_BYTES, _BYTES, _FLOATS, *[_INT] * 7, _FLOAT, _BYTES),
    "finish": (_BYTES, _INT, _INT, _BYTES, _INT, _INT),
    "blend": (_BYTES, _BYTES, _BYTES, _BYTES, _LONG),
    "compose": (_BYTES, _BYTES, _BYTES, _INT, _INT, _INT, _BYTES, _INT, _INT),
}


def available() -> bool:
    """Whether the functions below can be called."""
    return _kernels() is not None


def halve(picture: Frame, out: Frame) -> None:
    """Into `out` (h / 2, w / 2, 3) the rounded means of two by two pixels of `picture` (h, w, 3); h and w are even."""
    height, width = picture.shape[:2]
    fits = picture.shape[2:] == (3,) and out.shape == (height // 2, width // 2, 3) and not (height % 2 or width % 2)
    _call("halve", fits, picture, height, width, out)


def guided(
    guide: Frame,
    colours: Frame,
    matte: Matte,
    where: tuple[int, int, int, int],
    reach: int,
    smooth: int,
    eps: float,
    out: Alpha,
) -> None:
    """Into `out` (h, w) the matte along the edges of `guide` (h, w, 3), where any of it may be; the rest of `out` stays.

    colours, matte  (h / 4, w / 4, 3) uint8, the guide, and (h / 4, w / 4) float32 in 0..1
    where   (top, left, bottom, right) in windows, of which there is one for each value of the matte
    reach   half width of a window, and `smooth` that over which their fits are averaged, both in windows
    """
    rows, columns = matte.shape
    top, left, bottom, right = where
    fits = (
        guide.shape == (rows * STRIDE, columns * STRIDE, 3)
        and out.shape == guide.shape[:2]
        and colours.shape == (rows, columns, 3)
        and 0 <= top < bottom <= rows
        and 0 <= left < right <= columns
    )
    _call("guided", fits, guide, colours, matte, columns, *where, reach, smooth, eps, out)


def finish(plane: Alpha, out: Alpha) -> None:
    """`plane` enlarged into `out` (h, w), no smaller, its ramp from 1/4 to 3/4 steepened by one smoothstep to 0..255."""
    fits = plane.ndim == out.ndim == 2 and plane.shape[0] <= out.shape[0] and plane.shape[1] <= out.shape[1]
    _call("finish", fits, plane, *plane.shape, out, *out.shape)


def blend(frame: Frame, alpha: Alpha, out: Frame, room: Frame | None = None) -> None:
    """As `composite.blend.blend`."""
    fits = frame.shape == out.shape == (*alpha.shape, 3) and (room is None or room.shape == frame.shape)
    _call("blend", fits, frame, alpha, room, out, alpha.size)


def compose(frame: Frame, alpha: Alpha, behind: Frame, out: Frame, alike: int = 1) -> None:
    """Into `out` (h, w, 3) the person of `frame` (h, w, 3) over the small picture `behind` (h', w', 3), enlarged.

    alike  so many rows of the background, a divisor of h, are interpolated once, for the middle of them
    """
    height, width = alpha.shape
    fits = frame.shape == out.shape == (height, width, 3) and behind.shape[2:] == (3,) and height % alike == 0
    _call("compose", fits, frame, alpha, behind, *behind.shape[:2], alike, out, height, width)


def _call(name: str, fits: bool, *arguments: Any) -> None:
    """ValueError where arrays do not fit or have gaps, or are neither bytes nor, where it takes them, floats."""
    wanted = _ARGUMENTS[name]
    given = list(arguments)
    for index, array in enumerate(arguments):
        if isinstance(array, np.ndarray):
            fits = fits and array.flags.c_contiguous and array.size > 0 and array.dtype == _DTYPES[wanted[index]]
            given[index] = array.ctypes.data
    if not fits:
        shapes = ", ".join(f"{array.shape} {array.dtype}" for array in arguments if isinstance(array, np.ndarray))
        raise ValueError(f"{name} cannot take arrays of {shapes}, or not as they lie")
    if getattr(_kernels(), f"edgeseg_{name}")(*given):
        raise MemoryError(f"no memory for {name}")


@functools.cache
def _kernels() -> Any:
    """The library, its functions' arguments declared; None where there is none for this processor."""
    if os.environ.get("EDGESEG_NATIVE") == "0":
        return None
    for path in Path(__file__).parent.glob("_kernels*.so"):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:  # of another processor
            continue
        if library.edgeseg_supported():
            for name, arguments in _ARGUMENTS.items():
                addresses = [ctypes.c_void_p if kind in _DTYPES else kind for kind in arguments]
                getattr(library, f"edgeseg_{name}").argtypes = addresses
            return library
    return None
