"""What does a frame cost between camera and sink, and what does the plain way cost that most programs go?

The plain way: the network, its mask enlarged in float, the whole frame blurred by a Gaussian of 51 pixels, a blend in NumPy.
Same model, same frame, one thread, in turn; a ratio is the median of the ratios of neighbouring runs, with their quartiles.

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
WARM_UP = 5


@click.command(help=__doc__)
@click.option("--input", "path", type=click.Path(exists=True, path_type=Path), help="A picture or a video of a person.")
@click.option("--frames", default=30, show_default=True, help="Of a video.")
@click.option("--model", default=assets.DEFAULT, show_default=True)
@click.option("--runs", default=100, show_default=True, help="Of each, in turn.")
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
    click.echo(f"one thread, {runs} runs of each in turn after {WARM_UP} to warm up, model {session.spec.model}\n")
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
        import matplotlib.cbook  # a portrait in the public domain, which comes with it

        return [read_picture(Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))]
    with open_source(path) as source:
        return [shot.frame for shot in islice(source, frames)]


def measure(name: str, pictures: list[np.ndarray], blur: Blur, runs: int, clock: Callable[[], float]) -> list[dict]:
    """Two rows: the whole frame, and everything but inference."""
    session = blur.session.for_frame(pictures[0])  # the file that `blur` takes for frames of this shape
    work = Work()
    times: dict[str, list[float]] = {"plain": [], "ours": [], "gaussian": [], "rest": []}

    def timed(what: str, do: Callable[[], object]) -> None:
        start = clock()
        do()
        times[what].append(1e3 * (clock() - start))

    spent_ms = 0.0
    inner = session.run

    def counted_run(tensor: np.ndarray) -> np.ndarray:
        nonlocal spent_ms
        start = clock()
        result = inner(tensor)
        spent_ms += 1e3 * (clock() - start)  # the interpreter alone: the tensor's making and reading count as ours
        return result

    session.run = counted_run  # type: ignore[method-assign]
    try:
        frame = np.empty_like(pictures[0])
        for index in range(WARM_UP + runs):
            np.copyto(frame, pictures[index % len(pictures)])  # as a decoder has just written it
            timed("gaussian", lambda: cv2.GaussianBlur(frame, KERNEL, 0))
            timed("plain", lambda: plain_way(session, frame))
            np.copyto(frame, pictures[index % len(pictures)])
            spent_ms = 0.0
            timed("ours", lambda index=index: ours(blur, work.load(Shot(frame, index / 30))))
            times["rest"].append(times["ours"][-1] - spent_ms)
    finally:
        session.run = inner  # type: ignore[method-assign]
    share = blur.inference.inferred / blur.inference.frames
    policy = "every" if share == 1 else "auto"
    rows = []
    for what, a, b in (("whole frame", "plain", "ours"), ("all but the network, against one Gaussian", "gaussian", "rest")):
        plain, best = times[a][WARM_UP:], times[b][WARM_UP:]
        ratios = statistics.quantiles([p / o for p, o in zip(plain, best, strict=True)], n=4)
        if what == "whole frame":  # with keyframes the single frame is cheap or dear: only the mean says what it costs
            scale = statistics.fmean(plain) / statistics.fmean(best) / ratios[1] if policy == "auto" else 1.0
            ratios = [r * scale for r in ratios]
        rows.append(
            {
                "size": name,
                "keyframes": policy,
                "inferred": share,
                "what": what,
                "plain_ms": statistics.median(plain),
                "ours_ms": statistics.fmean(best) if policy == "auto" else statistics.median(best),
                "ratio": ratios,
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
