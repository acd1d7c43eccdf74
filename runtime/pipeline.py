"""From a source to a sink: every frame through `Blur`, timed from outside, with a report of what was done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import cv2

from edgeseg.runtime.blur import Blur
from edgeseg.runtime.capture.source import Source
from edgeseg.runtime.line import Line, Sync, is_live
from edgeseg.runtime.sinks.sink import Sink
from edgeseg.runtime.stages import Quantiles, StageTimes


@dataclass(frozen=True)
class RunReport:
    """What a run did. `stages_ms`: for each stage its "median" and "p95"; `lag_ms` the same, from the source to the sink."""

    frames: int
    dropped: int  # from a camera, since a newer frame had come
    fps: float  # frames written, by wall clock
    size_hw: tuple[int, int]
    stages_ms: dict[str, Quantiles]
    model: str
    lag_ms: Quantiles
    inferred: float | None  # share of the frames that the network has looked at
    failures: dict[str, int]  # of each stage that has failed now and then; those frames were hidden, or not written
    sync: str

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def limit_threads(threads: int) -> None:
    """Hold OpenCV, for the whole process, to `threads`.

    Left alone it takes every core: for pictures of this size that is slower, and it takes the cores from inference.
    """
    cv2.setNumThreads(threads)


def run(
    source: Source,
    blur: Blur,
    sink: Sink,
    progress: Callable[[int, int | None], None] | None = None,
    *,
    sync: Sync = "exact",
    times: StageTimes | None = None,
) -> RunReport:
    """Every frame of an opened `source` through `blur` into an opened `sink`, until the source ends or the sink is closed.

    progress  is called after each frame with the frames done and the frames in all (None where there is no end)
    sync      "exact": each mask belongs to its own frame; "low-latency": no frame waits for its mask. See `line`.
    times     where to count, for whoever wants to look at it meanwhile

    The sink is written in the thread that calls, as windows want it; the other stages have threads of their own.
    KeyboardInterrupt ends it as the end of the source does: what was written so far is kept. A live run goes on where a frame
    could not be written now and then; what is made of files must be whole.
    """
    times = times or StageTimes()
    done, start_s = 0, time.perf_counter()
    line = Line(source, blur, times, sync)
    frames_before, inferred_before = blur.inference.frames, blur.inference.inferred

    def share() -> float | None:
        seen = blur.inference.frames - frames_before
        return round((blur.inference.inferred - inferred_before) / seen, 3) if seen else None

    try:
        with line:
            for work in line:
                try:
                    with times.of("sink"):
                        wanted = sink.write(work.shot())
                    times.arrived(work.came_s)
                    blur.patience.went_well("sink")
                except Exception as error:
                    if not is_live(source):
                        raise
                    blur.patience.failed("sink", error)
                    wanted = True
                line.give_back(work)
                done += 1
                times.dropped, times.inferred = source.dropped + line.dropped, share()
                if progress is not None:
                    progress(done, source.frames)
                if not wanted:
                    break
    except KeyboardInterrupt:
        pass
    return RunReport(
        frames=done,
        dropped=source.dropped + line.dropped,
        fps=round(done / max(time.perf_counter() - start_s, 1e-9), 2),
        size_hw=source.size_hw,
        stages_ms=times.summary(),
        model=blur.session.spec.model,
        lag_ms=times.lag_ms(),
        inferred=share(),
        failures={stage: count for stage, count in blur.patience.failures.items() if count},
        sync=line.sync,
    )
