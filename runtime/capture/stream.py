"""Network streams by PyAV: RTSP cameras, MJPEG over HTTP, MPEG-TS. One that stalls is opened again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from edgeseg.errors import CaptureError
from edgeseg.runtime.arrays import Shot
from edgeseg.runtime.capture.live import Backoff, Captured, LiveSource
from edgeseg.runtime.capture.video_file import times_of, to_bgr

SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt")
OPEN_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 5.0
# TCP: over UDP a lossy network gives smeared pictures. `nobuffer` is not among these: it throws away what was read to find out
# the format, and with it the first key frame.
OPTIONS = {
    "rtsp": {"rtsp_transport": "tcp", "flags": "low_delay", "max_delay": "0", "analyzeduration": "1000000"},
    "http": {"probesize": "500000", "analyzeduration": "1000000"},
}


def is_stream(text: str) -> bool:
    """Whether `text` is the address of a stream rather than a path."""
    scheme, mark, rest = text.partition("://")
    return bool(mark and rest) and scheme.lower() in SCHEMES


class StreamCamera:
    """An opened stream. See `live.Camera`.

    A read gives up after `READ_TIMEOUT_S` whatever patience it was asked for: libav waits inside of itself.
    """

    passed_over = 0

    def __init__(self, url: str, open_timeout_s: float = OPEN_TIMEOUT_S, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        import av

        av.logging.set_level(None)
        self._shown = without_password(url)
        scheme = url.partition("://")[0].lower().rstrip("s")
        try:
            self._container = av.open(url, timeout=(open_timeout_s, read_timeout_s), options=OPTIONS.get(scheme, {}))
        except (av.error.FFmpegError, OSError) as error:
            raise CaptureError(
                f"stream {self._shown} cannot be opened: {error.strerror or error}; check address and network"
            ) from None
        try:
            if not self._container.streams.video:
                raise CaptureError(f"stream {self._shown} carries no pictures")
            stream = self._container.streams.video[0]
            stream.thread_type = "SLICE"  # threads that take a frame each would hold back as many frames
            self._frames: Iterator[Any] = self._container.decode(stream)
            self.ends = bool(self._container.duration) and scheme == "http"
            self.fps = float(stream.average_rate or stream.guessed_rate or 30)
            self.frames = stream.frames or None
            self._first: Any = self._next()
            self.size_hw = to_bgr(self._first).shape[:2]
        except BaseException:
            self._container.close()
            raise

    def _next(self) -> Any:
        import av

        try:
            return next(self._frames)
        except StopIteration:
            raise CaptureError(f"stream {self._shown} has ended") from None
        except (av.error.FFmpegError, OSError) as error:
            raise CaptureError(f"stream {self._shown} stalls: {error.strerror or error}") from None

    def read(self, patience_s: float) -> Captured | None:
        frame, self._first = self._first, None
        return Captured(to_bgr(self._next() if frame is None else frame), time.monotonic())

    def to_the_end(self) -> Iterator[Any]:
        """Every frame as PyAV has it. CaptureError where it is cut off before its end."""
        import av

        yield self._first
        try:
            yield from self._frames
        except (av.error.FFmpegError, OSError) as error:
            raise CaptureError(f"stream {self._shown} was cut off: {error.strerror or error}") from None

    def close(self) -> None:
        self._container.close()


class Stream:
    """A stream, live or with an end. See `capture.Source`.

    One that has an end (a video on a web server) gives every frame with its own time; a live one gives the newest, and is
    opened again when it stalls.
    """

    still = False
    path: Path | None = None

    def __init__(
        self,
        url: str,
        *,
        mirror: bool = False,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        backoff: Backoff | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._url = url
        self._timeouts = open_timeout_s, read_timeout_s
        self._whole: StreamCamera | None = None
        self._opened: StreamCamera | None = None
        patience_s = read_timeout_s + 1
        self.live = LiveSource(self._open, what="stream", mirror=mirror, patience_s=patience_s, backoff=backoff, say=say)
        self.frames: int | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._whole.size_hw if self._whole else self.live.size_hw

    @property
    def fps(self) -> float:
        return self._whole.fps if self._whole else self.live.fps

    @property
    def dropped(self) -> int:
        return self.live.dropped

    def _open(self) -> StreamCamera:
        camera, self._opened = self._opened, None
        return camera or StreamCamera(self._url, *self._timeouts)

    def __enter__(self) -> Stream:
        camera = StreamCamera(self._url, *self._timeouts)
        if camera.ends:
            self._whole, self.frames = camera, camera.frames
        else:
            self._opened = camera  # for the live source, which opens its camera itself
            self.live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._whole is not None:
            self._whole.close()
        else:
            self.live.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[Shot]:
        return iter(self.live) if self._whole is None else self._every_frame(self._whole)

    def _every_frame(self, camera: StreamCamera) -> Iterator[Shot]:
        for frame, time_s in times_of(camera.to_the_end(), camera.fps):
            yield Shot(to_bgr(frame), time_s)


def without_password(url: str) -> str:
    """`url` as it may be shown: without user, password and query."""
    scheme, _, rest = url.partition("://")
    place = rest.partition("?")[0]
    host, slash, path = place.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
