"""What does a frame cost between camera and sink, and what does the plain way cost that most programs go?

The plain way: the network, its mask enlarged in float, the whole frame blurred by a Gaussian of 51 pixels, a blend in NumPy.
Same model, same frames, one thread, in turn. Each way runs a burst of frames, the first of them untimed: in use a program
follows upon itself, not upon its rival, whose full-size floats would have swept the caches. A ratio is the median of the
ratios of neighbouring bursts, with their quartiles.

python benchmarks/frame_cost.py                        a portrait, at 720p and 1080p
python benchmarks/frame_cost.py --input talk.mp4       frames of a video, scaled and cut to those sizes
python benchmarks/frame_cost.py --cpu-time             the thread's own time: for a machine that has other work, too
"""

import json
import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import click
import cv2
import numpy as np

from edgeseg import assets
from edgeseg.runtime import Blur, Shot, Work, limit_threads, open_session, open_source, read_picture
from edgeseg.runtime.composite.backgrounds import Blurred, cover

SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}
KERNEL = (51, 51)
WARM_UP = 1  # bursts
BURST = 10  # timed frames; with the one before them 11, which no interval between keyframes divides


@click.command(help=__doc__)
@click.option("--input", "path", type=click.Path(exists=True, path_type=Path), help="A picture or a video of a person.")
@click.option("--frames", default=30, show_default=True, help="Of a video.")
@click.option("--model", default=assets.DEFAULT, show_default=True)
@click.option("--runs", default=20, show_default=True, help="Bursts of each, in turn.")
@click.option("--cpu-time", is_flag=True, help="Time of the thread in place of the clock on the wall.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(path: Path | None, frames: int, model: str, runs: int, cpu_time: bool, as_json: bool) -> None:
    limit_threads(1)
    clock = time.thread_time if cpu_time else time.perf_counter
    session = open_session(model)
    rows = []
    for name, size in SIZES.items():
        pictures = [cover(picture, size) for picture in read_pictures(path, frames)]
        for keyframes in ("every", "auto"):
            with Blur(session, keyframes=keyframes) as blur:
                rows += measure(name, pictures, blur, runs, clock)
    halo = {name: red_in_ring(*size, ours) for name, size in SIZES.items() for ours in (True,)}
    plain_halo = {name: red_in_ring(*size, False) for name, size in SIZES.items()}
    if as_json:
        click.echo(json.dumps({"rows": rows, "halo": halo, "plain_halo": plain_halo}, indent=2))
        return
    click.echo(f"one thread, {runs} bursts of {BURST} frames of each in turn, model {session.spec.model}\n")
    click.echo("| frame | keyframes | inferred | what | plain way, ms | edgeseg, ms | ratio (quartiles) |")
    click.echo("| --- | --- | ---: | --- | ---: | ---: | --- |")
    for row in rows:
        low, middle, high = row["ratio"]
        click.echo(
            f"| {row['size']} | {row['keyframes']} | {row['inferred']:.0%} | {row['what']} | {row['plain_ms']:.2f} | "
            f"{row['ours_ms']:.2f} | {middle:.1f}x ({low:.1f} to {high:.1f}) |"
        )
    for name in SIZES:
        click.echo(
            f"\nHalo at {name}, mask 6 pixels too tight, share of the person's colour in a ring of 20 pixels: "
            f"plain {plain_halo[name]:.1%}, edgeseg {halo[name]:.2%}"
        )


def read_pictures(path: Path | None, frames: int) -> list[np.ndarray]:
    if path is None:
        return [portrait()]
    with open_source(path) as source:
        return [shot.frame for shot in islice(source, frames)]


def portrait(height: int = 600, width: int = 1067) -> np.ndarray:
    """(height, width, 3): head and shoulders in the middle of a landscape frame, its sides continued."""
    import matplotlib.cbook  # a portrait in the public domain comes with it

    picture = read_picture(Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    picture = cv2.resize(picture, (round(picture.shape[1] * height / picture.shape[0]), height))
    left = (width - picture.shape[1]) // 2
    return cv2.copyMakeBorder(picture, 0, 0, left, width - picture.shape[1] - left, cv2.BORDER_REPLICATE)


def measure(name: str, pictures: list[np.ndarray], blur: Blur, runs: int, clock: Callable[[], float]) -> list[dict]:
    """Two rows: the whole frame, and everything but inference."""
    session = blur.session.for_frame(pictures[0])  # the file that `blur` takes for frames of this shape
    work, frame = Work(), np.empty_like(pictures[0])
    taken = 0  # frames
    network_ms = 0.0
    inner = session.run

    def counted_run(tensor: np.ndarray) -> np.ndarray:
        nonlocal network_ms
        start = clock()
        result = inner(tensor)
        network_ms += 1e3 * (clock() - start)  # the interpreter alone: the tensor's making and reading count as ours
        return result

    def burst(do: Callable[[float], object]) -> tuple[list[float], list[float]]:
        """Of each timed frame: all of its time and that of the network, in ms."""
        nonlocal taken, network_ms
        whole, network = [], []
        for _ in range(1 + BURST):
            np.copyto(frame, pictures[taken % len(pictures)])  # as a decoder has just written it
            taken += 1
            network_ms, start = 0.0, clock()
            do(taken / 30)
            whole.append(1e3 * (clock() - start))
            network.append(network_ms)
        return whole[1:], network[1:]

    session.run = counted_run  # type: ignore[method-assign]
    bursts: dict[str, list[list[float]]] = {"gaussian": [], "plain": [], "ours": [], "rest": []}
    try:
        for _ in range(WARM_UP + runs):
            bursts["gaussian"].append(burst(lambda _: cv2.GaussianBlur(frame, KERNEL, 0))[0])
            bursts["plain"].append(burst(lambda _: plain_way(session, frame))[0])
            whole, network = burst(lambda time_s: ours(blur, work.load(Shot(frame, time_s))))
            bursts["ours"].append(whole)
            bursts["rest"].append([a - b for a, b in zip(whole, network, strict=True)])
    finally:
        session.run = inner  # type: ignore[method-assign]
    share = blur.inference.inferred / blur.inference.frames
    # With keyframes a single frame is cheap or dear: only the mean says what it costs.
    typical = statistics.median if share == 1 else statistics.fmean
    rows = []
    for what, a, b in (("whole frame", "plain", "ours"), ("all but the network, against one Gaussian", "gaussian", "rest")):
        plain, best = ([typical(times) for times in bursts[key][WARM_UP:]] for key in (a, b))
        rows.append(
            {
                "size": name,
                "keyframes": "every" if share == 1 else "auto",
                "inferred": share,
                "what": what,
                "plain_ms": statistics.median(plain),
                "ours_ms": statistics.median(best),
                "ratio": statistics.quantiles([p / o for p, o in zip(plain, best, strict=True)], n=4),
            }
        )
    return rows


def plain_way(session: object, frame: np.ndarray) -> np.ndarray:
    mask = cv2.resize(session.matte(frame), frame.shape[1::-1])[..., None]
    return (frame * mask + cv2.GaussianBlur(frame, KERNEL, 0) * (1 - mask)).astype(np.uint8)


def ours(blur: Blur, work: Work) -> np.ndarray:
    blur.infer(work)
    blur.refine(work)
    blur.composite(work)
    return work.out


def red_in_ring(height: int, width: int, ours: bool, tight: int = 6, ring: int = 20) -> float:
    """How much of a red disc is in a green wall's blur around it, 0..1, where the mask is `tight` pixels too small."""
    wall, shirt = (60, 120, 60), (40, 40, 230)
    truth = np.zeros((height, width), np.uint8)
    cv2.circle(truth, (width // 2, height // 2), height // 4, 255, -1)
    frame = np.where(truth[..., None] > 0, np.uint8(shirt), np.uint8(wall))
    mask = cv2.erode(truth, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tight + 1,) * 2))
    work = Work().load(Shot(np.ascontiguousarray(frame), 0.0))
    work.alpha = mask
    if ours:
        Blurred(0.5).draw(work)
    else:
        work.out = cv2.GaussianBlur(frame, (0, 0), 26)
    around = (cv2.dilate(truth, np.ones((2 * ring + 1,) * 2, np.uint8)) > 0) & (truth == 0)
    return float((work.out[around][:, 2].astype(float) - wall[2]).mean() / (shirt[2] - wall[2]))


if __name__ == "__main__":
    main()
