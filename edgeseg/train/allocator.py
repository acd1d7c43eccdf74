"""Memory that a network's layers free and take again, kept by the process.

glibc maps every block of 32 MB or more freshly and gives it back when it is freed, and the kernel clears each page that is
touched again. The largest maps of a batch are such blocks: a step of `person` (32 pictures of 192x320, bfloat16, two threads)
takes 0.53 s, and 0.46 s when they are kept (benchmarks/training_step.py).
"""

from __future__ import annotations

import ctypes
import platform

# Of malloc.h; mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed() -> bool:
    """Let this process keep what it frees, until it ends. False where the C library is another than glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
