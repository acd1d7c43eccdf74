"""Do the shipped int8 files give the same on tflite-runtime 2.14.0, the last of that name, as on LiteRT?

python scripts/try_tflite_runtime.py [PICTURES...]

Older boards have tflite-runtime and a numpy below 2. It cannot live beside what exports, so it gets an environment of its
own under build/, with edgeseg and nothing of its usual dependencies but what the runtime needs. Each model is run on the same
pictures by both, and the share of pixels with the same class is printed; below 99 % the exit status is 1.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click
import cv2
import numpy as np
from environments import environment

from edgeseg import assets
from edgeseg.calib.frames import from_folder, from_sample

ROOT = Path(__file__).parent.parent
PACKAGES = ("tflite-runtime==2.14.0", "numpy<2", "opencv-python-headless<4.12", "click")
LEAST = 0.99


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path), help="Folder of pictures. [default: variations of a sample portrait]")
@click.option("--python", default=sys.executable, help="Interpreter for the environment: 3.11 or older.")
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
def main(data: Path | None, python: str, files: tuple[Path, ...]) -> None:
    older = with_edgeseg(python)
    pictures = (from_folder(data, parity=32) if data else from_sample(calibration=1, parity=16)).parity
    files = files or tuple(asset.files["tflite", "int8"] for asset in assets.trained().values())
    least = 1.0
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        for picture in pictures:
            cv2.imwrite(str(images / f"{picture.name}.png"), picture.frame)
        for file in files:
            here, there = (
                masks(interpreter, file, images, Path(folder) / f"{file.stem}-{i}")
                for i, interpreter in enumerate([Path(sys.executable), older])
            )
            agreement = float(np.mean([(a == b).mean() for a, b in zip(here, there, strict=True)]))
            least = min(least, agreement)
            click.echo(f"{file.name}: {agreement:.2%} of the pixels of {len(pictures)} pictures get the same class")
    if least < LEAST:
        raise click.ClickException(f"less than {LEAST:.0%} agree")


def with_edgeseg(python: str) -> Path:
    """The interpreter of an environment with tflite-runtime, and edgeseg as it is in this tree."""
    interpreter = environment("tflite-runtime", python, PACKAGES)
    subprocess.run(
        [str(interpreter), "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", str(ROOT)], check=True
    )
    return interpreter


def masks(interpreter: Path, file: Path, images: Path, out: Path) -> list[np.ndarray]:
    """Person or not, of every picture, by the `edgeseg segment` of an environment."""
    command = [str(interpreter), "-m", "edgeseg", "segment", str(images), "--model", str(file.absolute()), "-o", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=images.parent)
    found = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(out.glob("*.png"))]
    return [plane > 127 for plane in found if plane is not None]


if __name__ == "__main__":
    main()
