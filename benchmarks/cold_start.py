"""How long from the command to the first blurred frame? A fresh process each time; models and libraries are on disk.

The moment of the first frame is when its file appears. CPU time is that of the whole command, all threads together.

python benchmarks/cold_start.py
python benchmarks/cold_start.py --imports 15      also: the imports that take longest
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import cv2
import numpy as np

from edgeseg import assets
from edgeseg.runtime.picture import write_picture

SIZE_HW = (720, 1280)


@click.command(help=__doc__)
@click.option("--model", default=assets.DEFAULT, show_default=True)
@click.option("--runs", default=7, show_default=True, help="After one that is not counted, which fills the disk's cache.")
@click.option("--imports", default=0, show_default=True, help="How many imports to list.")
def main(model: str, runs: int, imports: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        noise = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8)
        write_picture(folder / "in.jpg", cv2.resize(noise, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC))
        command = [sys.executable, "-m", "edgeseg", "blur", "-i", str(folder / "in.jpg"), "-m", model]
        first_s, cpu_s = zip(*(one_run(command, folder / "out.jpg") for _ in range(1 + runs)), strict=True)
        click.echo(f"{model}, a picture of {SIZE_HW[1]}x{SIZE_HW[0]}, {os.cpu_count()} cores, {runs} runs\n")
        click.echo("| | median | least | most |")
        click.echo("| --- | ---: | ---: | ---: |")
        for what, times in (("first frame, s", first_s[1:]), ("CPU time, s", cpu_s[1:])):
            click.echo(f"| {what} | {statistics.median(times):.2f} | {min(times):.2f} | {max(times):.2f} |")
        if imports:
            click.echo(f"\n{slowest_imports([*command, '-o', str(folder / 'out.jpg')], imports)}")


def one_run(command: list[str], out: Path) -> tuple[float, float]:
    """Seconds to the first frame, and of CPU."""
    out.unlink(missing_ok=True)
    before, start_ns = os.times(), time.time_ns()
    subprocess.run([*command, "-o", str(out)], check=True, capture_output=True)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return (out.stat().st_mtime_ns - start_ns) / 1e9, cpu_s


def slowest_imports(command: list[str], count: int) -> str:
    """Milliseconds that each import takes by itself, without those that it imports in turn."""
    done = subprocess.run([command[0], "-X", "importtime", *command[1:]], check=True, capture_output=True, text=True)
    rows = [
        line.partition("import time:")[2].split("|") for line in done.stderr.splitlines() if line.startswith("import time:")
    ]
    times = sorted(((int(row[0]) / 1e3, row[2].strip()) for row in rows if row[0].strip().isdecimal()), reverse=True)
    return "\n".join(f"{ms:8.1f} ms  {module}" for ms, module in times[:count])


if __name__ == "__main__":
    main()
