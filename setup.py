"""All of the package is in pyproject.toml, but for its kernels, which are left out where they cannot be compiled.

EDGESEG_PURE=1 leaves them out everywhere: the wheel then fits any machine.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

FOLDER = Path("runtime/native")

kernels = Extension(
    "edgeseg.runtime.native._kernels",
    sorted(map(str, FOLDER.glob("*.c"))),
    depends=[str(FOLDER / "kernels.h")],
    # Python's own flags have -fwrapv, which keeps compilers from seeing vectors in a loop.
    extra_compile_args=["-O3", "-g0", "-std=c11", "-fno-wrapv", "-fno-trapping-math"],
    py_limited_api=True,  # they know nothing of Python: ctypes calls them
    optional=True,
)
pure = os.environ.get("EDGESEG_PURE") == "1"
setup(
    ext_modules=[] if pure else [kernels],
    options={} if pure else {"bdist_wheel": {"py_limited_api": "cp310"}},
)
