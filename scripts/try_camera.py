"""Does `edgeseg blur --webcam` work with a real kernel's cameras? They are opened, unplugged, shared and read back in QEMU.

python scripts/try_camera.py [--only NAME]...

Needs the machine of scripts/camera_vm.sh, built once; without it this says so and ends well. Packages for the machine's Python
come from the package index, into build/camera. The checks themselves are in scripts/camera_checks.py and run inside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
from foreign_site import ROOT, install

FOLDER = ROOT / "build" / "camera"
MACHINE = ROOT / "scripts" / "camera_vm.sh"


@click.command(help=__doc__)
@click.option("--only", metavar="NAME", multiple=True, help="Of the checks, those with this in their name.")
@click.option("--seconds", default=3600, show_default=True, help="After which the machine is switched off.")
def main(only: tuple[str, ...], seconds: int) -> None:
    home = Path(os.environ.get("EDGESEG_CAMERA_VM") or Path.home() / ".cache" / "edgeseg" / "camera-vm")
    for missing, remedy in (
        (not (home / "initrd").exists(), f"no machine in {home}; run: scripts/camera_vm.sh build"),
        (shutil.which("qemu-system-x86_64") is None, "no qemu-system-x86_64; run: apt install qemu-system-x86"),
    ):
        if missing:
            click.echo(f"skipped: {remedy}")
            return
    install(FOLDER, "x86_64")
    shutil.copy(ROOT / "scripts" / "camera_checks.py", FOLDER / "checks.py")
    (FOLDER / "job").write_text(f"PYTHONPATH=/job/site OMP_NUM_THREADS=1 python3 checks.py {' '.join(only)}\n")
    sys.exit(subprocess.run([str(MACHINE), "run", str(FOLDER), str(seconds)], check=False).returncode)


if __name__ == "__main__":
    main()
