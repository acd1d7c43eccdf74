"""How old is a frame when it is shown? The camera paints its clock into the pixels, and the sink reads it off the result.

Frames come 30 times a second, as from a camera. Where the network is slow, `--sync low-latency` shows what it buys.

python benchmarks/latency.py
python benchmarks/latency.py --slow 60        the network takes 60 ms longer, as on a small board
"""

import time

import click
import numpy as np

from edgeseg import assets
from edgeseg.runtime import Blur, ClockCamera, Segmenter, Shot, limit_threads, open_session, run
from edgeseg.runtime.arrays import Frame, Matte
from edgeseg.runtime.capture.clock_camera import BITS, read_clock

SKIPPED = 15  # frames at the start: the first inference allocates


class Watched:
    """A segmenter that sees a person where the clock is, after the time that a real one takes."""

    def __init__(self, session: Segmenter, slow_ms: float) -> None:
        self.spec = session.spec
        self._session, self._slow_s = session, slow_ms / 1e3

    def matte(self, frame: Frame) -> Matte:
        time.sleep(self._slow_s)
        matte = self._session.matte(frame)
        matte[len(matte) // 3 :] = 1
        return matte


class Reader:
    """A sink that reads the clock."""

    def __init__(self) -> None:
        self.ages_ms: list[int] = []

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, shot: Shot) -> bool:
        painted_ms = read_clock(shot.frame)
        if painted_ms is not None:  # a hidden frame has none
            self.ages_ms.append((round(1000 * time.monotonic()) - painted_ms) % (1 << BITS))
        return True


@click.command(help=__doc__)
@click.option("--model", default=assets.DEFAULT, show_default=True)
@click.option("--seconds", default=5.0, show_default=True)
@click.option("--size", default=(720, 1280), show_default=True, type=(int, int), help="Height and width.")
@click.option("--slow", default=0.0, show_default=True, help="Milliseconds to add to each inference.")
def main(model: str, seconds: float, size: tuple[int, int], slow: float) -> None:
    limit_threads(1)
    session = open_session(model)
    click.echo("| sync | keyframes | fps | dropped | latency ms, median | p95 | frames of 33.3 ms, median |")
    click.echo("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for sync in ("exact", "low-latency"):
        for keyframes in ("every", "auto"):
            reader = Reader()
            camera = ClockCamera(size, frames=None)

            def ended(done: int, _: int | None, end_s: float = time.monotonic() + seconds) -> None:
                if time.monotonic() > end_s:
                    raise KeyboardInterrupt

            with Blur(Watched(session, slow), keyframes=keyframes) as blur, camera:
                report = run(camera, blur, reader, ended, sync=sync)
            median, p95 = np.percentile(reader.ages_ms[SKIPPED:] or [np.nan], (50, 95))
            click.echo(
                f"| {sync} | {keyframes} | {report.fps:.1f} | {report.dropped} | {median:.0f} | {p95:.0f} | "
                f"{median / (1000 / 30):.2f} |"
            )


if __name__ == "__main__":
    main()
