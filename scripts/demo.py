"""`make demo`: the whole job on a real portrait, with the commands that a user would type. Everything lands in demo/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np


def edgeseg(*arguments: object) -> None:
    """Run the command as typed, and stop where it fails."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ edgeseg {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "edgeseg", *words], check=True)


def sheet(pictures: list[Path], labels: list[str], height: int = 480) -> np.ndarray:
    """Pictures side by side, each with its label in a strip above it."""
    columns = []
    for path, label in zip(pictures, labels, strict=True):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert picture is not None, f"{path} was not written"
        width = round(picture.shape[1] * height / picture.shape[0])
        strip = np.full((34, width, 3), 255, np.uint8)
        cv2.putText(strip, label, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.62, (40, 40, 40), 1, cv2.LINE_AA)
        columns += [np.vstack([strip, cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)])]
        columns += [np.full((height + 34, 8, 3), 255, np.uint8)]
    return np.hstack(columns[:-1])


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    # Grace Hopper, 1952: a work of the United States Navy, in the public domain; matplotlib ships it as sample data.
    portrait = out / "portrait.jpg"
    portrait.write_bytes(Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).read_bytes())

    edgeseg("models")
    edgeseg("export", "person", "-o", out)
    edgeseg("export", "person", "--int8", "-o", out)
    files = sorted(path for path in out.iterdir() if path.suffix in (".tflite", ".onnx"))
    edgeseg("bench", *files, "-o", out)
    int8 = next(path for path in files if path.name.endswith("int8.tflite"))
    edgeseg("segment", portrait, "--model", int8, "-o", out / "matte")
    edgeseg("blur", "--input", portrait, "--model", int8, "--output", out / "blurred.jpg")
    edgeseg("blur", "--input", portrait, "--model", int8, "--background", "#2f6f4f", "--output", out / "green.jpg")

    pictures = [portrait, out / "matte" / "portrait.png", out / "blurred.jpg", out / "green.jpg"]
    cv2.imwrite(str(out / "sheet.jpg"), sheet(pictures, ["portrait", "matte", "blur", "#2f6f4f"]))
    print(f"\nLook at {out / 'sheet.jpg'} (the pictures) and {out / 'bench.html'} (the report).")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
