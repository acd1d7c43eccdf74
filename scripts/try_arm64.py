"""Does the wheel work on a board's processor, and are the masks those of this machine?

python scripts/try_arm64.py [PICTURES]

Runs `edgeseg segment` and `edgeseg blur` as aarch64 programs under qemu-user, on the processors of a Raspberry Pi 4 and 5, with
the packages that a board would install, and compares the outputs of each shipped model with those made here. Needs what
scripts/arm64.sh builds once; without it this says so and ends well. Packages come from the package index, into build/arm64.
Without a folder of pictures, variations of a sample portrait are used.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import cv2
import numpy as np
from foreign_site import ROOT, install

from edgeseg import assets
from edgeseg.calib.frames import from_folder, from_sample
from edgeseg.runtime import Shot, VideoSink, open_source

FOLDER = ROOT / "build" / "arm64"
MACHINE = ROOT / "scripts" / "arm64.sh"
BOARDS = ("pi4", "pi5")
SIZE = (360, 640)
# Differences of an output, of 256 steps: int8 kernels of two processors round a value apart now and then, and layers add up.
# Masks are not compared: where a network is in doubt, one step decides.
MEAN_STEPS, MOST_STEPS = 2.0, 16  # on average, and in all but a thousandth of the values
OUTPUTS = """
import sys, cv2, numpy
from pathlib import Path
from edgeseg.runtime import open_session
session = open_session(sys.argv[1])
frames = {path.stem: cv2.imread(str(path)) for path in sorted(Path(sys.argv[2]).glob("*.png"))}
numpy.savez(sys.argv[3], **{name: session.run(session.prepare(frame)) for name, frame in frames.items()})
"""
# Every kernel once, on what is the same everywhere.
KERNELS = """
import sys, numpy
from edgeseg.runtime import native
if not native.available():
    sys.exit("none")
values = (numpy.arange(720 * 1280 * 3, dtype=numpy.uint64) ** 2 // 977).astype(numpy.uint8).reshape(720, 1280, 3)
plane = (numpy.add.outer(numpy.arange(180), numpy.arange(320)) * 7 // 4).clip(0, 255).astype(numpy.uint8)
half, alpha, q = numpy.zeros((360, 640, 3), "u1"), numpy.zeros((720, 1280), "u1"), numpy.zeros((180, 320), "u1")
blended, composed = values[::-1].copy(), numpy.zeros_like(values)
guide, colours = values[:180, :320].copy(), values[:45, :80].copy()
native.halve(values, half)
native.finish(plane, alpha)
native.blend(values, alpha, blended, values[:, ::-1].copy())
native.compose(values, alpha, colours, composed, 4)
matte = (plane[::4, ::4] / numpy.float32(255)).astype(numpy.float32)
native.guided(guide, colours, matte, (3, 2, 45, 80), 2, 1, 2e-4, q)
numpy.savez(sys.argv[1], half=half, alpha=alpha, blended=blended, composed=composed, q=q)
"""


@click.command(help=__doc__)
@click.argument("data", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=4, show_default=True, help="Pictures to compare.")
def main(data: Path | None, count: int) -> None:
    home = Path(os.environ.get("EDGESEG_ARM64") or Path.home() / ".cache" / "edgeseg" / "arm64")
    for missing, remedy in (
        (not (home / "root").exists(), f"nothing in {home}; run: scripts/arm64.sh build"),
        (shutil.which("qemu-aarch64") is None, "no qemu-aarch64; run: apt install qemu-user"),
    ):
        if missing:
            click.echo(f"skipped: {remedy}")
            return
    install(FOLDER, "aarch64")
    images = FOLDER / "images"
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir()
    pictures = (from_folder(data, parity=count) if data else from_sample(calibration=1, parity=count)).parity
    for picture in pictures:
        cv2.imwrite(str(images / f"{picture.name}.png"), cv2.resize(picture.frame, SIZE[::-1], interpolation=cv2.INTER_AREA))
    failures = 0
    for asset in assets.trained().values():
        failures += compare(asset.files["tflite", "int8"], images)
    failures += sum(blurred(images, board) for board in BOARDS)
    failures += sum(kernels(board) for board in BOARDS)
    if failures:
        raise click.ClickException(f"{failures} of these are not as they should be")


def compare(model: Path, images: Path) -> int:
    """How many pictures get another output on the boards than here."""
    outputs = {}
    for place in ("here", *BOARDS):
        archive = FOLDER / f"{place}.npz"
        python(place, "-c", OUTPUTS, str(model), str(images), str(archive))
        outputs[place] = dict(np.load(archive))
    failures = 0
    for board in BOARDS:
        masks = FOLDER / board
        shutil.rmtree(masks, ignore_errors=True)
        edgeseg(board, "segment", str(images), "--model", str(model), "-o", str(masks))
        for name, here in outputs["here"].items():
            there = outputs[board][name]
            steps = np.abs(here.astype(int) - there.astype(int))
            mean, most = steps.mean(), np.percentile(steps, 99.9)
            good = bool(mean <= MEAN_STEPS and most <= MOST_STEPS) and (masks / f"{name}.png").exists()
            failures += not good
            tell(good, f"{board} {model.name} {name}: {mean:.2f} steps of 256 apart, 99.9 % within {most:.0f}")
    return failures


def blurred(images: Path, board: str) -> int:
    """A clip of the pictures through `edgeseg blur` there: every frame comes out, with another background."""
    clip, out = FOLDER / "clip.mp4", FOLDER / f"{board}.mp4"
    frames = [cv2.imread(str(path)) for path in sorted(images.glob("*.png"))]
    with VideoSink(clip, SIZE, 10) as sink:
        for index, frame in enumerate(frames):
            sink.write(Shot(frame, index / 10))  # type: ignore[arg-type]
    report = json.loads(edgeseg(board, "blur", "-i", str(clip), "-o", str(out), "--background", "#00ff00", "--json"))
    with open_source(out) as source:
        green = [float((np.abs(shot.frame.astype(int) - (0, 255, 0)).max(axis=2) < 60).mean()) for shot in source]
    good = report["frames"] == len(green) == len(frames) and all(share > 0.05 for share in green)
    tell(good, f"{board} edgeseg blur: {report['frames']} frames, {min(green, default=0):.0%} of one green at the least")
    return not good


def kernels(board: str) -> bool:
    """Whether the kernels there, where they have been compiled, give other bytes than here. Floats may round one apart."""
    found = {}
    for place in ("here", board):
        archive = FOLDER / f"kernels-{place}.npz"
        try:
            python(place, "-c", KERNELS, str(archive))
        except click.ClickException as error:
            if not str(error).rstrip().endswith("none"):
                raise
            click.echo(f"skipped: no kernels {place}")
            return False
        found[place] = dict(np.load(archive))
    apart = {name: int(np.abs(a.astype(int) - found[board][name]).max()) for name, a in found["here"].items()}
    good = all(steps <= (name == "q") for name, steps in apart.items())
    tell(good, f"{board} kernels: bytes apart {', '.join(f'{name} {steps}' for name, steps in apart.items())}")
    return not good


def edgeseg(place: str, *arguments: str) -> str:
    """What the command prints."""
    return python(place, "-m", "edgeseg", *arguments)


def python(place: str, *arguments: str) -> str:
    """What Python prints, with the wheel in build/arm64 on a board, or with this tree here."""
    here = place == "here"
    site = ROOT if here else FOLDER / "site"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(site), "BOARD": place}
    command = [*([sys.executable] if here else [str(MACHINE), "python"]), *arguments]
    done = subprocess.run(command, env=environment, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        shown = " ".join(arguments[1:] if arguments[0] == "-m" else arguments[2:])
        raise click.ClickException(f"{place}: {shown} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def tell(good: bool, text: str) -> None:
    click.echo(f"{'ok  ' if good else 'FAIL'}  {text}")


if __name__ == "__main__":
    main()
