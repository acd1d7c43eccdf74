"""MATLAB files (version 5 to 7), read with scipy where it is installed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edgeseg.errors import MissingExtraError
from edgeseg.picture_size import MAX_BYTES, MAX_PIXELS
from edgeseg.train.readers.base import ItemError


def read_variable(path: Path, name: str) -> Any:
    """One variable of a .mat file. ItemError where it cannot be read or claims to be too large.

    Their objects are plain arrays, cells and strings; nothing of such a file is run.
    """
    try:
        from scipy.io import loadmat, whosmat
    except ModuleNotFoundError:
        raise MissingExtraError("scipy", "data", "reading .mat files") from None
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ItemError("unreadable pictures", f"{path} has more than {MAX_BYTES >> 20} MB")
        shapes = {found: shape for found, shape, _ in whosmat(str(path))}  # of the headers alone
        if name not in shapes:
            raise ItemError("unreadable pictures", f"{path} has no variable {name}; it has {', '.join(shapes) or 'none'}")
        if math.prod(shapes[name]) > MAX_PIXELS:
            raise ItemError(
                "unreadable pictures", f"{path}: {name} claims to be {shapes[name]}; at most {MAX_PIXELS:,} are read"
            )
        return loadmat(str(path), variable_names=[name])[name]
    except ItemError:
        raise
    except Exception as error:  # scipy raises ValueError, TypeError, KeyError, zlib.error, struct.error, NotImplementedError...
        raise ItemError("unreadable pictures", f"{path} is no MATLAB file that can be read ({str(error)[:60]})") from None


def read_ids(path: Path, name: str) -> Any:
    """A matrix of whole numbers, (h, w). ItemError for anything else."""
    matrix = read_variable(path, name)
    if matrix.ndim != 2 or matrix.dtype.kind not in "uif":
        raise ItemError("unreadable pictures", f"{path}: {name} must be a matrix of numbers, got {matrix.shape} {matrix.dtype}")
    return matrix.astype("int64")


def read_names(path: Path, name: str) -> list[str]:
    """A cell array of strings. ItemError for anything else."""
    cells = read_variable(path, name).reshape(-1)
    if cells.dtype != object or not all(cell.dtype.kind == "U" for cell in cells):
        raise ItemError("unreadable pictures", f"{path}: {name} must be a cell array of strings")
    return [str(cell.reshape(-1)[0]) if cell.size else "" for cell in cells]
