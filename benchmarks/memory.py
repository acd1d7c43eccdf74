"""Does the memory of a long run grow? Frames of 1080p through the whole pipeline, and what of the process is in memory.

python benchmarks/memory.py                   10,000 frames
python benchmarks/memory.py --frames 1000 --background green
"""

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from edgeseg import assets
from edgeseg.runtime import Blur, Null, Shot, SyntheticCamera, limit_threads, run

PAGE_BYTES = 4096
FROM = 100  # frames, after which everything has been allocated once


class Endless(SyntheticCamera):
    """Ten frames of the synthetic camera, over and over: drawing them takes longer than blurring them."""

    def __iter__(self) -> Iterator[Shot]:
        ten = [self.frame(index) for index in range(10)]
        for index in range(self.frames or 0):
            yield Shot(np.copy(ten[index % 10]), index / self.fps)  # each frame is an array of its own, as from a decoder


@click.command(help=__doc__)
@click.option("--frames", default=10_000, show_default=True)
@click.option("--size", default=(1080, 1920), show_default=True, type=(int, int), help="Height and width.")
@click.option("--model", default=assets.DEFAULT, show_default=True)
@click.option("--background", default="blur", show_default=True)
@click.option("--sync", type=click.Choice(["exact", "low-latency"]), default="exact", show_default=True)
def main(frames: int, size: tuple[int, int], model: str, background: str, sync: str) -> None:
    limit_threads(1)
    seen: list[tuple[int, float]] = []

    def look(done: int, _: int | None) -> None:
        if done in (FROM, frames) or done % max(100, frames // 10) == 0:
            seen.append((done, resident_mb()))

    with Blur(model, background=background) as blur, Endless(size, frames=frames) as source:
        run(source, blur, Null(), look, sync=sync)
    click.echo("| frames | MB in memory | since frame 100 |")
    click.echo("| ---: | ---: | ---: |")
    start = dict(seen)[FROM]
    for done, resident in seen:
        click.echo(f"| {done} | {resident:.1f} | {resident - start:+.1f} |")


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / 1e6


if __name__ == "__main__":
    main()
