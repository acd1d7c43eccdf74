"""A live source that does not end: a camera or stream read by a thread of its own, re-opened when it vanishes, released when
nobody watches.

    camera --thread--> the newest frame --iteration--> Shot

While there is no camera, shots of an empty frame come twice a second, with a notice to be written over what the pipeline makes
of them. Nothing here loops without waiting, and no loss of the camera ends the iteration.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

import cv2

from edgeseg.errors import CameraBusyError, CaptureError
from edgeseg.runtime.arrays import Frame, Shot
from edgeseg.runtime.capture.card import empty, letterbox

PATIENCE_S = 3.0  # without a frame for this long, a camera is gone: unplugged, or stalled
CARD_EVERY_S = 0.5  # while there is no camera
SLICE_S = 0.2  # the longest wait that does not look whether all is over
RELEASE_AFTER_S = 5.0  # programs that look through the cameras open and close them within this

GONE, BUSY, PAUSED = "camera gone, waiting", "camera in use elsewhere, waiting", "paused"


class Captured(NamedTuple):
    """A frame, when it was taken by `time.monotonic`, and the camera's own small copy of it, if it makes one."""

    frame: Frame
    taken_s: float
    small: Frame | None = None


class Camera(Protocol):
    """An open camera, used by one thread. It raises CaptureError when it is gone for good, and is closed then as well."""

    @property
    def size_hw(self) -> tuple[int, int]: ...
    @property
    def fps(self) -> float: ...
    @property
    def passed_over(self) -> int:
        """Frames that came and were not returned, since newer ones had come."""

    def read(self, patience_s: float) -> Captured | None:
        """The newest frame, in memory of its own; None where none came within `patience_s`."""

    def close(self) -> None: ...


class Backoff:
    """How long to wait before the next attempt: twice as long after each failure, up to `most_s`."""

    def __init__(self, first_s: float = 0.5, most_s: float = 8.0) -> None:
        self._first_s, self._most_s = first_s, most_s
        self.reset()

    def reset(self) -> None:
        self._next_s = self._first_s

    def wait_s(self) -> float:
        now_s, self._next_s = self._next_s, min(2 * self._next_s, self._most_s)
        return now_s


class LiveSource:
    """What `open_camera` opens, for as long as it is wanted. See `capture.Source`.

    what         what it is called in a notice: "camera", "stream"
    mirror       left and right exchanged, as a mirror shows it; may be changed at any time
    wanted       asked many times a second: whether anybody watches. Else the camera is closed, and shots are rare and empty
    say          is told in one line when the camera goes and when it comes back

    Entering it opens the camera, and raises CaptureError where that fails; later failures are waited out.
    """

    still = False
    path: Path | None = None
    frames: int | None = None

    def __init__(
        self,
        open_camera: Callable[[], Camera],
        *,
        what: str = "camera",
        mirror: bool = False,
        patience_s: float = PATIENCE_S,
        backoff: Backoff | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.mirror = mirror
        self.wanted: Callable[[], bool] = lambda: True
        self.size_hw = (0, 0)
        self.fps = 0.0
        self._open_camera = open_camera
        self._what = what
        self._patience_s = patience_s
        self._backoff = backoff or Backoff()
        self._say = say
        self._replaced = self._passed_over = 0
        self._changed = threading.Condition()
        self._newest: Captured | None = None
        self._notice = ""
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        return self._replaced + self._passed_over

    def __enter__(self) -> LiveSource:
        camera = self._open_camera()
        try:
            first = camera.read(2 * self._patience_s)  # the first takes longest: the sensor starts
            if first is None:
                raise CaptureError(
                    f"the {self._what} is open and gives no pictures; does another program use it? see: edgeseg doctor"
                )
        except BaseException:
            camera.close()
            raise
        self.size_hw = (first.frame.shape[0], first.frame.shape[1])
        self.fps = camera.fps
        self._put(first)
        self._thread = threading.Thread(target=self._guarded, args=(camera,), name="edgeseg-capture", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(2)  # one that waits inside of a library is left to end by itself

    def __iter__(self) -> Iterator[Shot]:
        start_s: float | None = None
        last_s = -1.0
        shown = ""
        while not self._stop.is_set():
            captured, notice = self._await(shown)
            if captured is None and not notice:
                continue
            taken_s = time.monotonic() if captured is None else captured.taken_s
            start_s = taken_s if start_s is None else start_s
            last_s = max(taken_s - start_s, last_s + 1e-4)  # times must rise, whatever clock a frame has
            if captured is None:
                shown = notice
                yield Shot(empty(self.size_hw), last_s, notice=notice)
            else:
                shown = ""
                yield Shot(self._fitted(captured.frame), last_s, small=self._turned(captured.small))

    def _await(self, shown: str) -> tuple[Captured | None, str]:
        """The newest frame, else the notice: at once where it is not the one that is shown, else again after a while."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._newest or self._failure or self._stop.is_set() or self._notice != shown, CARD_EVERY_S
            )
            if self._failure is not None:
                raise self._failure
            captured, self._newest = self._newest, None
            return captured, self._notice

    def _fitted(self, frame: Frame) -> Frame:
        if frame.shape[:2] != self.size_hw:  # it came back with another size; sinks have the first
            frame = letterbox(frame, self.size_hw)
        turned = self._turned(frame)
        assert turned is not None
        return turned

    def _turned(self, frame: Frame | None) -> Frame | None:
        return cv2.flip(frame, 1) if frame is not None and self.mirror else frame  # type: ignore[return-value]

    def _guarded(self, camera: Camera) -> None:
        try:
            self._work(camera)
        except BaseException as failure:  # a fault of ours: it belongs to whoever iterates, not to a thread nobody reads
            with self._changed:
                self._failure = failure
                self._changed.notify_all()

    def _work(self, camera: Camera | None) -> None:
        frame_s = wanted_s = time.monotonic()  # when there was a frame, and when somebody wanted one
        passed_before = 0
        try:
            while not self._stop.is_set():
                now_s = time.monotonic()
                if self.wanted():
                    wanted_s = now_s
                if now_s - wanted_s > RELEASE_AFTER_S:
                    self._let_go(camera, PAUSED)
                    camera = None
                    self._stop.wait(SLICE_S)
                    continue
                try:
                    if camera is None:
                        camera, passed_before = self._open_camera(), self._passed_over
                        frame_s = time.monotonic() + self._patience_s
                    captured = camera.read(SLICE_S)
                    self._passed_over = passed_before + camera.passed_over
                    if captured is None and time.monotonic() - frame_s > self._patience_s:
                        raise CaptureError(f"no pictures for {self._patience_s:g} s")
                except CaptureError as error:
                    self._let_go(camera, BUSY if isinstance(error, CameraBusyError) else GONE)
                    camera = None
                    self._stop.wait(self._backoff.wait_s())
                    continue
                if captured is not None:
                    frame_s = time.monotonic()
                    self._backoff.reset()
                    self._put(captured)
        finally:
            if camera is not None:
                with suppress(CaptureError):
                    camera.close()

    def _let_go(self, camera: Camera | None, notice: str) -> None:
        """Close the camera, if it is open, and show `notice` in place of its frames."""
        if camera is not None:
            with suppress(CaptureError):
                camera.close()
        notice = notice.replace("camera", self._what)
        with self._changed:
            changed, self._notice = self._notice != notice, notice
            self._changed.notify_all()
        if changed and not notice.startswith(PAUSED):
            self._say(notice)

    def _put(self, captured: Captured) -> None:
        with self._changed:
            back, self._notice = self._notice, ""
            self._replaced += self._newest is not None
            self._newest = captured
            self._changed.notify_all()
        if back and not back.startswith(PAUSED):
            self._say(f"{self._what} is back")
