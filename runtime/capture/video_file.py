"""Video files by PyAV: upright frames with their own times, in the right colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgeseg.errors import DataError
from edgeseg.runtime.arrays import Frame, Shot

if TYPE_CHECKING:
    import av

UNSPECIFIED, BT709, LIMITED = 2, 1, (0, 1)  # ISO/IEC 23091-2; an unstated range is limited


class VideoFile:
    """A video file, frame by frame. See `capture.Source`."""

    still = False
    dropped = 0

    def __init__(self, path: Path) -> None:
        self.path: Path | None = path
        self.size_hw = (0, 0)
        self.fps = 0.0
        self.frames: int | None = None
        self._file = path

    def __enter__(self) -> VideoFile:
        import av

        av.logging.set_level(None)  # libav writes to stderr what it also raises
        try:
            self._container = av.open(str(self._file))
            if not self._container.streams.video:
                raise DataError(f"{self._file} holds no video; give a picture, a folder of pictures or a video")
            stream = self._container.streams.video[0]
            stream.thread_type = "AUTO"
            self._decoded = self._container.decode(stream)
            first = next(self._decoded, None)
        except (av.error.FFmpegError, OSError) as error:
            raise DataError(f"{self._file} is no picture or video that can be decoded: {error.strerror or error}") from None
        if first is None:
            raise DataError(f"video {self._file} holds no frames")
        self._first: av.VideoFrame | None = first
        self.size_hw = to_bgr(first).shape[:2]  # after rotation
        self.fps = float(stream.average_rate or stream.guessed_rate or 30)
        self.frames = stream.frames or None
        if self.frames is None and self._container.duration:
            self.frames = max(1, round(self._container.duration / 1e6 * self.fps))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[Shot]:
        for frame, time_s in times_of(self._all(), self.fps):
            yield Shot(to_bgr(frame), time_s)

    def _all(self) -> Iterator[av.VideoFrame]:
        import av

        frame, self._first = self._first, None
        index = 0
        while frame is not None:
            yield frame
            index += 1
            try:
                frame = next(self._decoded, None)
            except av.error.FFmpegError as error:
                raise DataError(f"video {self._file} is damaged after frame {index}: {error.strerror}") from None


def times_of(frames: Iterator[av.VideoFrame], fps: float) -> Iterator[tuple[av.VideoFrame, float]]:
    """Each frame with its own time in seconds since the first; they rise, whatever the file says."""
    start, last = None, -1.0
    for index, frame in enumerate(frames):
        time_s = frame.time if frame.time is not None else index / fps
        start = time_s if start is None else start
        last = max(time_s - start, last + 1e-3) if index else 0.0
        yield frame, last


def to_bgr(frame: av.VideoFrame) -> Frame:
    """A decoded frame as (h, w, 3) uint8 BGR, turned upright.

    A file that does not say how its colours were coded is read as players do: BT.709 from 720 lines on, else BT.601.
    """
    matrix = frame.colorspace
    if matrix == UNSPECIFIED:
        matrix = BT709 if frame.height >= 720 else 5
    even = frame.width % 2 == 0 and frame.height % 2 == 0
    bgr: Frame
    if frame.format.name == "yuv420p" and matrix in (5, 6) and frame.color_range in LIMITED and even:
        bgr = cv2.cvtColor(frame.to_ndarray(), cv2.COLOR_YUV2BGR_I420)  # type: ignore[assignment]  # exacter than swscale, and faster
    else:
        known = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}.get(matrix, 5)
        bgr = frame.reformat(format="bgr24", src_colorspace=known).to_ndarray()  # type: ignore[assignment]
    turns = round(frame.rotation / 90) % 4  # counter-clockwise, from the display matrix
    return np.ascontiguousarray(np.rot90(bgr, turns)) if turns else bgr
