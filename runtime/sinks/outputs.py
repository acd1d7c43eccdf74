"""Several sinks as one, of which none can end the run by a failure that passes.

A live sink (virtual camera, window, web page) that fails is tried again with back-off, and the others go on meanwhile; a file
that cannot be written any further is given up, and the run goes on while anything is left to write to. Notices are drawn here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from edgeseg.errors import OutputError
from edgeseg.runtime.arrays import Shot
from edgeseg.runtime.capture.card import captioned
from edgeseg.runtime.capture.live import Backoff
from edgeseg.runtime.sinks.sink import Sink

HICCUP_S = 1.0  # a live sink that fails for longer is closed and opened again


class Outputs:
    """`sinks`, each of which gets every frame. See `sinks.Sink`.

    say  is told in one line what fails and when it works again

    Entering it opens them all, or raises OutputError and leaves none open. The first one that wants no more ends the run.
    """

    def __init__(
        self, sinks: Sequence[Sink], say: Callable[[str], None] = lambda _: None, backoff: Backoff | None = None
    ) -> None:
        self._say = say
        self._last: OutputError | None = None  # that ended one of them for good
        self._outputs = [_Output(sink, say, backoff or Backoff(1.0, 30.0)) for sink in sinks]

    def __enter__(self) -> Outputs:
        for index, output in enumerate(self._outputs):
            try:
                output.sink.__enter__()
            except BaseException:
                for opened in self._outputs[:index]:
                    opened.sink.__exit__(None, None, None)
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        failure: OutputError | None = None
        for output in self._outputs:
            try:
                output.close(kind, error, trace)
            except OutputError as failed:
                failure = failure or failed
        if failure is not None:
            raise failure

    def write(self, shot: Shot) -> bool:
        """OutputError where nothing is left to write to."""
        if shot.notice:
            shot = shot._replace(frame=captioned(shot.frame, shot.notice))
        wanted = True
        for output in self._outputs:
            failed = output.failure
            wanted &= output.write(shot)
            if output.failure is not None and failed is None:
                self._last = output.failure
                if not all(other.failure for other in self._outputs):
                    self._say(str(output.failure))
        if self._last is not None and all(output.failure for output in self._outputs):
            raise self._last
        return wanted

    def watched(self) -> bool:
        """Whether anybody sees the result: a file always, a virtual camera and a web page while somebody looks."""
        return any(output.watched() for output in self._outputs)


class _Output:
    """One sink and how it is doing."""

    def __init__(self, sink: Sink, say: Callable[[str], None], backoff: Backoff) -> None:
        self.sink = sink
        self.failure: OutputError | None = None  # for good
        self._say = say
        self._last: OutputError | None = None  # that ended one of them for good
        self._backoff = backoff
        self._open = True
        self._failing_since_s: float | None = None
        self._retry_s = 0.0

    def write(self, shot: Shot) -> bool:
        if self.failure is not None:
            return True
        now_s = time.monotonic()
        if not self._open and now_s < self._retry_s:
            return True
        try:
            if not self._open:
                self.sink.__enter__()
                self._open = True
            wanted = self.sink.write(shot)
        except OutputError as error:
            self._failed(error, now_s)
            return True
        if self._failing_since_s is not None:
            self._failing_since_s = None
            self._backoff.reset()
            self._say("output works again")
        return wanted

    def _failed(self, error: OutputError, now_s: float) -> None:
        if not getattr(self.sink, "reopens", False):
            self.failure = error
            return
        if self._failing_since_s is None:
            self._failing_since_s = now_s
            self._say(str(error))
        if self._open and now_s - self._failing_since_s < HICCUP_S:
            return  # a frame is lost, no more
        if self._open:
            self._shut()
        self._retry_s = now_s + self._backoff.wait_s()

    def _shut(self) -> None:
        self._open = False
        with suppress(OutputError):  # it has failed already
            self.sink.__exit__(None, None, None)

    def close(self, *error: Any) -> None:
        if self._open:
            self._open = False
            self.sink.__exit__(*error)

    def watched(self) -> bool:
        ask = getattr(self.sink, "watched", None)
        return self.failure is None and (ask is None or not self._open or bool(ask()))
