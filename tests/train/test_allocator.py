from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from edgeseg.train.allocator import keep_freed

BLOCK_MB = 64
# Fills a block ten times over, as a layer's output is in each step, and prints how many pages the kernel had to bring.
FILLS = f"""
import resource, sys
from edgeseg.train.allocator import keep_freed
if sys.argv[1] == "keep":
    assert keep_freed()
for _ in range(10):
    block = bytearray(b"\\1" * {BLOCK_MB << 20})
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_kept_memory_is_not_brought_again() -> None:
    pages = {
        how: int(subprocess.run([sys.executable, "-c", FILLS, how], check=True, capture_output=True, text=True).stdout)
        for how in ("keep", "give back")
    }
    ten_blocks = 10 * (BLOCK_MB << 20) // 4096
    assert pages["give back"] > ten_blocks  # glibc maps blocks of 32 MB and more anew each time
    assert pages["keep"] < ten_blocks / 2


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert not keep_freed()
