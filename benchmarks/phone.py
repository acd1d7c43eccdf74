"""How well does the network of phones do on the pictures that our cards speak of?

MediaPipe's selfie segmentation (Apache-2.0; "general" sees 256x256, "landscape" 144x256) against the models that ship, all on
the same held-back pictures, by the same metrics: its masks as MediaPipe gives them, ours as the file alone gives them and as
`edgeseg blur` shows them. It wants a numpy below 2, so it gets an environment of its own under build/ and answers frames
through a pipe. Nobody knows what its makers trained it on: some of these pictures may be among that.

python benchmarks/phone.py --data data/person-train --data data/person-train2 --scenes data/voc/val --store
"""

import dataclasses
import json
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "scripts"))
from environments import environment  # noqa: E402
from make_assets import by_framing  # noqa: E402
from model_card import KINDS, Scores, figures, person_scores  # noqa: E402

from edgeseg import assets  # noqa: E402
from edgeseg.report.device import describe_device  # noqa: E402
from edgeseg.report.predict import Predictor  # noqa: E402
from edgeseg.report.steady import RefinedMasks  # noqa: E402
from edgeseg.train.data import Pair, read_folder, split  # noqa: E402
from edgeseg.train.losses import IGNORE  # noqa: E402
from edgeseg.train.truth import PERSON_CLASSES, read_truth  # noqa: E402
from edgeseg.whole import write_whole  # noqa: E402

PACKAGES = ("mediapipe==0.10.14", "jax<0.5", "numpy<2")
RESULT = HERE / "results" / "phone.json"
PHONES = {"phone, general": 0, "phone, landscape": 1}
OURS = ("person", "person-large", "person-small")
SHOWN = "{}, as blur shows it"
# Everyday scenes in two ways more: by the share of the picture that persons cover, and without those in which an arm, a hand or
# legs come into the picture without the rest, found by eye.
COVERED = {"under 2 %": (0.0, 0.02), "2 to 10 %": (0.02, 0.1), "10 % or more": (0.1, 1.1)}
LIMBS = {"2008_001895", "2011_001714", "2010_000110", "2010_004815", "2009_001687"}
# Frames come as (height, width) and RGB bytes, masks go back as a byte a pixel.
ANSWERS = """\
import struct, sys
import mediapipe, numpy
network = mediapipe.solutions.selfie_segmentation.SelfieSegmentation(model_selection=int(sys.argv[1]))
while head := sys.stdin.buffer.read(8):
    h, w = struct.unpack("<II", head)
    frame = numpy.frombuffer(sys.stdin.buffer.read(3 * h * w), numpy.uint8).reshape(h, w, 3)
    mask = network.process(frame).segmentation_mask > 0.5
    sys.stdout.buffer.write(mask.astype(numpy.uint8).tobytes())
    sys.stdout.buffer.flush()
"""


class Phone:
    """As `report.predict.Predictor`, for what this benchmark needs of one."""

    person_class = 1

    def __init__(self, interpreter: Path, selection: int) -> None:
        command = [str(interpreter), "-c", ANSWERS, str(selection)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def predict(self, frame: np.ndarray) -> np.ndarray:
        """(h, w) ids of a frame (h, w, 3) BGR."""
        h, w = frame.shape[:2]
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(struct.pack("<II", h, w) + np.ascontiguousarray(frame[..., ::-1]).tobytes())
            self._process.stdin.flush()
            answer = self._process.stdout.read(h * w)
        except BrokenPipeError:
            answer = b""
        if len(answer) < h * w:
            raise click.ClickException(f"MediaPipe ended with status {self._process.wait()}; remove build/phone and try again")
        return np.frombuffer(answer, np.uint8).reshape(h, w).astype(np.int32)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


class Shown:
    """The masks of a `Predictor` as `edgeseg blur` shows them: fitted to the edges of the picture that each is of."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.person_class = predictor.person_class

    def predict(self, frame: np.ndarray) -> np.ndarray:
        """(h, w) ids of a frame (h, w, 3) BGR, which is the first of its video."""
        return np.where(RefinedMasks(self._predictor)(frame)["on"], self.person_class, 0).astype(np.int32)


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), multiple=True, required=True, help="Person folders.")
@click.option("--scenes", type=click.Path(exists=True, path_type=Path), help="Labelled scenes that nothing was trained on.")
@click.option("--python", default=sys.executable, help="Interpreter for the environment: 3.11 or older.")
@click.option("--store", is_flag=True, help=f"As {RESULT.name}.")
def main(data: tuple[Path, ...], scenes: Path | None, python: str, store: bool) -> None:
    held = split([pair for folder in data for pair in read_folder(folder)])[1]
    scores: dict[str, Scores] = {}
    for name, selection in PHONES.items():
        phone = Phone(environment("phone", python, PACKAGES), selection)
        scores[name] = judged(phone, held, scenes)
        phone.close()
    for name in OURS:
        asset = assets.trained()[name]
        files = [of_size["tflite", "int8"] for of_size in (asset.files, *asset.framings.values())]
        predictor = by_framing(files)
        scores[name] = judged(predictor, held, scenes)
        scores[SHOWN.format(name)] = judged(Shown(predictor), held, scenes)
    kinds = scores[OURS[0]]
    rows = [{"kind": KINDS.get(kind, kind), "figures": {n: of[kind] for n, of in scores.items()}} for kind in kinds]
    document = {
        "schema": 1,
        "benchmark": "phone",
        "command": "python benchmarks/phone.py --data DIR --scenes DIR --store",
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": describe_device(),
        "result": {"rows": rows},
    }
    click.echo(json.dumps(document["result"], indent=1))
    if store:
        write_whole(RESULT, (json.dumps(document, indent=1) + "\n").encode())


def judged(predictor: Any, held: list[Pair], scenes: Path | None) -> Scores:
    """As the cards have it, and the everyday scenes by what they show."""
    rows = person_scores(predictor, held, scenes, ())
    if scenes is None:
        return rows
    truth = read_truth(scenes, PERSON_CLASSES, 1)
    shares = {pair: (ids == 1).sum() / (ids != IGNORE).sum() for pair, (_, ids) in zip(truth.pairs, truth.load(), strict=True)}
    parts = {
        f"everyday scenes, persons cover {name}": [pair for pair, share in shares.items() if share and low <= share < high]
        for name, (low, high) in COVERED.items()
    }
    parts["everyday scenes without limbs alone"] = [p for p, share in shares.items() if share and p[0].stem not in LIMBS]
    for name, pairs in parts.items():
        if pairs:
            rows[name] = figures(predictor, dataclasses.replace(truth, pairs=tuple(pairs)))
    return rows


if __name__ == "__main__":
    main()
