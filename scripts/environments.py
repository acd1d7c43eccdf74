"""Environments of packages that cannot live beside ours, each in a folder of its own under build/."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import click

BUILD = Path(__file__).parent.parent / "build"


def environment(name: str, python: str, packages: Sequence[str]) -> Path:
    """The interpreter of build/`name`, which `python` makes with `packages` where it is not there."""
    folder = BUILD / name
    interpreter = folder / "bin" / "python"
    if not (folder / ".installed").exists():
        click.echo(f"making an environment for {name}", err=True)
        subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(interpreter), "-m", "pip", "install", "--quiet", *packages], check=True)
        (folder / ".installed").touch()
    return interpreter
