"""How many frames need the network, and what do the masks lose where it has not looked?

For each clip and each policy of `edgeseg blur --keyframes`: the share of frames that the network has looked at, and the IoU of
the finished masks with those of looking at every frame (its mean, and its 5th percentile, over frames).

python benchmarks/keyframes.py talk.mp4 other.mp4
python benchmarks/keyframes.py talk.mp4 --gain 0.3 --noise 20     in low light: darker, with a sensor's noise
"""

import json
from itertools import islice
from pathlib import Path

import click
import numpy as np

from edgeseg import assets
from edgeseg.runtime import Blur, Session, Shot, Work, limit_threads, open_session, open_source

POLICIES = ("auto", 2, 3, 4, 6)


class Replay:
    """A `Segmenter` that looks up what the network has said of frame `index`: all policies see the same mattes."""

    def __init__(self, session: Session, frames: list[np.ndarray]) -> None:
        self.spec = session.spec
        self.index = 0
        work = Work()
        self._mattes = [session.matte(work.load(Shot(f, 0.0)).pyramid.at_least(session.spec.size)) for f in frames]

    def matte(self, frame: np.ndarray) -> np.ndarray:
        return self._mattes[self.index].copy()


@click.command(help=__doc__)
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", default=assets.DEFAULT, show_default=True)
@click.option("--limit", default=600, show_default=True, help="Frames of each clip.")
@click.option("--gain", default=1.0, show_default=True, help="Of the light.")
@click.option("--noise", default=0.0, show_default=True, help="Standard deviation in bytes, of each pixel and colour.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(clips: tuple[Path, ...], model: str, limit: int, gain: float, noise: float, as_json: bool) -> None:
    limit_threads(1)
    session = open_session(model)
    rows = []
    for clip in clips:
        with open_source(clip) as source:
            frames = [dim(shot.frame, gain, noise, index) for index, shot in enumerate(islice(source, limit))]
        replay = Replay(session.for_frame(frames[0]), frames)
        _, expected = masks(replay, frames, "every")
        for policy in POLICIES:
            share, found = masks(replay, frames, policy)
            ious = [iou(a, b) for a, b in zip(found, expected, strict=True)]
            rows.append(
                {
                    "clip": clip.name,
                    "frames": len(frames),
                    "keyframes": str(policy),
                    "inferred": share,
                    "iou": float(np.mean(ious)),
                    "iou_p5": float(np.percentile(ious, 5)),
                }
            )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    click.echo("| clip | frames | keyframes | inferred | IoU with every frame inferred | 5th percentile |")
    click.echo("| --- | ---: | --- | ---: | ---: | ---: |")
    for row in rows:
        click.echo("| {clip} | {frames} | {keyframes} | {inferred:.2f} | {iou:.4f} | {iou_p5:.4f} |".format(**row))


def dim(frame: np.ndarray, gain: float, noise: float, seed: int) -> np.ndarray:
    if gain == 1 and noise == 0:
        return frame
    grain = np.random.default_rng(seed).normal(0, noise, frame.shape)
    return np.clip(frame * gain + grain, 0, 255).astype(np.uint8)


def masks(replay: Replay, frames: list[np.ndarray], policy: str | int) -> tuple[float, list[np.ndarray]]:
    """The share of frames inferred, and a mask (h, w) bool of each."""
    blur, work = Blur(replay, keyframes=policy), Work()
    found = []
    for index, frame in enumerate(frames):
        replay.index = index
        work.load(Shot(frame, 0.0))
        blur.infer(work)
        blur.refine(work)
        found.append(work.alpha > 127)
    return blur.inference.inferred / blur.inference.frames, found


def iou(a: np.ndarray, b: np.ndarray) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


if __name__ == "__main__":
    main()
