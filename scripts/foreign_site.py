"""edgeseg and what a device installs with it, as packages for another machine's Python: for the scripts that try it there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
PYTHON = "3.11"  # of Debian 12 and Raspberry Pi OS bookworm
PACKAGES = ("numpy", "click", "opencv-python-headless", "av", "ai-edge-litert")
GLIBC = (17, 24, 26, 27, 28, 31, 34, 35)  # minor versions of 2, up to Debian 12's


def install(folder: Path, machine: str) -> None:
    """Into `folder`/site: edgeseg as it is in this tree now, and, once, its packages for Linux on `machine`."""
    site, mark, wheels = folder / "site", folder / ".installed", folder / "wheels"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    target = [*pip, "install", "--target", str(site), "--upgrade"]
    if not mark.exists():
        click.echo(f"fetching packages for {machine}", err=True)
        platforms = [option for minor in GLIBC for option in ("--platform", f"manylinux_2_{minor}_{machine}")]
        foreign = ["--python-version", PYTHON, "--implementation", "cp", "--only-binary=:all:", *platforms]
        _run([*target, *foreign, "--constraint", str(ROOT / "constraints.txt"), *PACKAGES])
        mark.touch()
    for stale in (wheels, ROOT / "build" / "lib"):  # the latter is setuptools', which never takes a module out of it again
        shutil.rmtree(stale, ignore_errors=True)
    _run([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)], _compiler(machine))
    fitting = ["--python-version", PYTHON, "--only-binary=:all:", "--platform", f"linux_{machine}"]
    _run([*target, "--no-deps", *fitting, *map(str, wheels.glob("*.whl"))])


def _compiler(machine: str) -> dict[str, str]:
    """What makes a wheel one for `machine`, its kernels compiled for it; where there is no compiler for that, without them."""
    compiler = f"{machine}-linux-gnu-gcc"
    if shutil.which(compiler) is None:
        click.echo(f"no {compiler}: the wheel is made without its kernels", err=True)
        return {"EDGESEG_PURE": "1"}
    return {"CC": compiler, "LDSHARED": f"{compiler} -shared", "_PYTHON_HOST_PLATFORM": f"linux-{machine}"}


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Silent unless it fails: pip compares what it puts there with what is installed here, and finds conflicts."""
    done = subprocess.run(command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command[:6])} ... failed: {done.stderr.strip().splitlines()[-1:]}")
