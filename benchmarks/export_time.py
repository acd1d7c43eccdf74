"""How long does `edgeseg export --int8` take, from the command to two proven files? Nothing comes from a cache.

python benchmarks/export_time.py --calib DIR                  the default model, 200 calibration pictures
python benchmarks/export_time.py --calib DIR enet-person      another
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from edgeseg import assets


@click.command(help=__doc__)
@click.argument("models", nargs=-1)
@click.option("--calib", type=click.Path(exists=True, path_type=Path), required=True, help="A data folder.")
@click.option("--pictures", default=200, show_default=True, help="That ranges are measured on.")
@click.option("--runs", default=2, show_default=True)
def main(models: tuple[str, ...], calib: Path, pictures: int, runs: int) -> None:
    click.echo("| model | calibration pictures | seconds of each run | agreement |")
    click.echo("| --- | ---: | --- | --- |")
    for model in models or [assets.DEFAULT]:
        seconds, agreements = [], ""
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "edgeseg", "export", model, "--int8", "--no-cache", "--json"]
                command += ["--calib", str(calib), "--calib-pictures", str(pictures), "-o", folder]
                start = time.monotonic()
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                seconds.append(time.monotonic() - start)
            files = json.loads(done.stdout)["files"]
            agreements = ", ".join(f"{file['format']} {file['parity']['agreement']:.2%}" for file in files)
        click.echo(f"| {model} | {pictures} | {', '.join(f'{s:.0f}' for s in seconds)} | {agreements} |")


if __name__ == "__main__":
    main()
