"""The stages side by side, each in a thread of its own: a production line for frames.

    exact         capture -> infer -> refine, composite -> whoever iterates (the sink)
    low-latency   capture -> refine, composite -> whoever iterates
                          -> infer, of the newest frame whenever it is free

What they pass is a `Work`, of which there are few: who has none to fill must wait, so that nothing piles up. From a live source
only the newest frame waits; from files each frame comes, in order.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Literal, get_args

from edgeseg.errors import UsageError
from edgeseg.runtime.arrays import Matte, Shot
from edgeseg.runtime.blur import Blur
from edgeseg.runtime.bounded import BoundedQueue
from edgeseg.runtime.capture.source import Source
from edgeseg.runtime.stages import StageTimes
from edgeseg.runtime.work import Work

Sync = Literal["exact", "low-latency"]

# With two, one frame is at the sink or waits for it, and one is on its way: the frame that is shown is at most one behind.
LIVE_WORKS, FILE_WORKS = 2, 4
STALE_S = 1.0  # a matte of a frame so much older than the one to show is none: that person may have left
JOIN_S = 5.0  # that a thread may take to end; a source may be waiting for its camera


class Line:
    """Finished works of an opened `source`, in order: `for work in line: ...; line.give_back(work)`.

    A context manager, since threads are running inside. What a stage or the source raises is raised where the works are taken.

    sync   "exact": each mask belongs to its own frame. "low-latency": each frame gets the newest mask there is, fitted to that
           frame's edges, and never waits for the network.
    cores  that may be used; with one, inference and compositing take turns
    """

    def __init__(self, source: Source, blur: Blur, times: StageTimes, sync: Sync = "exact", cores: int | None = None) -> None:
        if sync not in get_args(Sync):
            raise UsageError(f"there is no sync {sync!r}; there are: {', '.join(get_args(Sync))}")
        self.dropped = 0  # here; the source counts its own
        self.sync = "exact" if source.still else sync  # a picture has no use for the mask of another
        self._source, self._blur, self._times = source, blur, times
        self._live = is_live(source)
        self._frames: BoundedQueue[tuple[Shot, float]] = BoundedQueue()
        self._inferred: BoundedQueue[Work] = BoundedQueue()
        self._finished: BoundedQueue[Work] = BoundedQueue()
        self._free = _works(LIVE_WORKS if self._live else FILE_WORKS)
        if self.sync == "exact" and (cores or count_cores()) > 1:
            self._bodies: list[Callable[[], None]] = [self._capture, self._infer_each, self._finish_each]
        elif self.sync == "exact":
            self._bodies = [self._capture, self._do_each]
        else:
            self._to_infer: BoundedQueue[Work] = BoundedQueue()
            self._idle = _works(1)
            self._newest: tuple[Matte | None, float] = (None, 0.0)
            self._bodies = [self._capture, self._infer_newest, self._finish_newest]

    def __enter__(self) -> Line:
        self._threads = [threading.Thread(target=body, name=f"edgeseg{body.__name__}", daemon=True) for body in self._bodies]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for queue in (self._frames, self._inferred, self._finished, self._free):
            queue.close()
        if self.sync == "low-latency":
            self._to_infer.close()
            self._idle.close()
        end_s = time.monotonic() + JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))

    def __iter__(self) -> Iterator[Work]:
        return iter(self._finished)

    def give_back(self, work: Work) -> None:
        """`work` has been used, and may be filled again."""
        self._free.put(work)

    def _capture(self) -> None:
        with _ending(self._frames):
            shots = iter(self._source)
            while not self._frames.closed:
                with self._times.of("capture"):
                    shot = next(shots, None)
                if shot is None:
                    break
                item = (shot, time.perf_counter())
                if self._live:
                    self.dropped += self._frames.replace(item) is not None
                else:
                    self._frames.put(item)

    def _loaded(self) -> Iterator[Work]:
        """Works filled with the next frames. First there must be a work: a live frame is then as new as can be."""
        for work in self._free:
            item = self._frames.take()
            if item is None:
                return
            shot, work.came_s = item
            yield work.load(shot)

    def _infer(self, work: Work) -> None:
        if self._source.still or work.notice:
            self._blur.reset()
        if work.notice:
            return  # there is nobody in an empty frame
        with self._times.of("infer"):
            self._blur.infer(work)

    def _finish(self, work: Work) -> None:
        if work.matte is not None:
            with self._times.of("refine"):
                self._blur.refine(work)
        with self._times.of("composite"):
            self._blur.composite(work)
        self._finished.put(work)

    def _infer_each(self) -> None:
        with _ending(self._inferred):
            for work in self._loaded():
                self._infer(work)
                self._inferred.put(work)

    def _finish_each(self) -> None:
        with _ending(self._finished):
            for work in self._inferred:
                self._finish(work)

    def _do_each(self) -> None:
        with _ending(self._finished):
            for work in self._loaded():
                self._infer(work)
                self._finish(work)

    def _infer_newest(self) -> None:
        with _ending(self._idle):
            for work in self._to_infer:
                self._infer(work)
                self._newest = (work.matte, work.came_s)
                self._idle.put(work)

    def _finish_newest(self) -> None:
        with _ending(self._finished):
            try:
                for work in self._loaded():
                    self._show_to_network(work)
                    matte, came_s = self._newest
                    work.matte = matte if work.came_s - came_s <= STALE_S and not work.notice else None
                    self._finish(work)
            finally:
                self._to_infer.end()

    def _show_to_network(self, work: Work) -> None:
        idle = self._idle.take(wait=False)  # raises what inference has given up for
        if idle is not None:
            # A copy of what inference needs to see of it: the work itself is soon filled with another frame.
            seen = work.at_least(self._blur.session.spec.size).copy()
            idle.came_s = work.came_s
            self._to_infer.put(idle.load(Shot(seen, work.time_s, work.name, work.notice)))


class _ending:
    """`with _ending(queue):` ends the queue when the body ends, with what it raised."""

    def __init__(self, queue: BoundedQueue[Work] | BoundedQueue[tuple[Shot, float]]) -> None:
        self._queue = queue

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self._queue.end(error)
        return True  # it is raised in the thread that takes


def is_live(source: Source) -> bool:
    """Whether frames come when they come and not when we ask: from a camera or a stream, and not from a file."""
    return source.frames is None and source.path is None


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _works(count: int) -> BoundedQueue[Work]:
    works: BoundedQueue[Work] = BoundedQueue(count)
    for _ in range(count):
        works.put(Work())
    return works
