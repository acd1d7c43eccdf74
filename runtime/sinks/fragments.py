"""Fragmented MP4: what is left of a recording that could not be finished (ISO/IEC 14496-12, section 8.8)."""

from __future__ import annotations

import os
from pathlib import Path


def trim_to_whole_fragments(path: Path) -> int:
    """Cut `path` after its last fragment that is whole, and return its new size in bytes: 0 where there is none.

    A fragment is a `moof` box, which tells of the samples in the `mdat` box behind it; the first is a `moov` with its `mdat`.
    """
    size = path.stat().st_size
    whole = start = 0
    with path.open("rb") as file:
        while start + 8 <= size:
            file.seek(start)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:  # 64 bits, behind the name
                length = int.from_bytes(head[8:16], "big")
            if length < 8 or start + length > size:
                break
            start += length
            whole = start if kind == b"mdat" else whole
    os.truncate(path, whole)
    return whole
