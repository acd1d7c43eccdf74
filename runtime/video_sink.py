"""A video file: H.264, the source's frame times, its sound copied as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2

from edgeseg.errors import CaptureError, MissingExtraError, OutputError
from edgeseg.runtime.arrays import Frame, Shot
from edgeseg.whole import cannot_write, make_folder, part_of

if TYPE_CHECKING:
    import av

TIME_BASE = Fraction(1, 90_000)
CRF = 20  # visually near to lossless at some 3 Mbit/s for 720p talking heads
# OpenCV converts by BT.601 in limited range, exactly and fast. The file says so, and players go by what it says.
BT601, LIMITED = 6, 1


class VideoSink:
    """Writes `path` under a temporary name; it gets its own when it is closed in order.

    size_hw   (height, width); an odd side is made even by repeating its last line, as 4:2:0 colour needs
    fps       for players that want one; every frame keeps its own `time_s`
    sound_of  a video file whose sound is copied, unchanged

    Ctrl-C, and a camera that vanishes, close in order: the part so far plays. Any other exception removes what was written.
    """

    def __init__(self, path: Path, size_hw: tuple[int, int], fps: float, sound_of: Path | None = None) -> None:
        self._path = path
        self._part = part_of(path)
        self._size_hw = size_hw
        self._fps = fps
        self._sound_of = sound_of
        self._last_pts = -1

    def __enter__(self) -> VideoSink:
        import av

        av.logging.set_level(None)
        if "libx264" not in av.codecs_available:
            raise MissingExtraError("an FFmpeg with libx264", "video", "writing a video")
        make_folder(self._path.parent)
        height, width = self._size_hw
        faststart = {"movflags": "faststart"} if self._path.suffix.lower() != ".mkv" else {}
        self._sound_file: av.container.InputContainer | None = None
        try:
            self._file = av.open(str(self._part), "w", options=faststart)
            rate = Fraction(self._fps).limit_denominator(1001)
            stream: Any = self._file.add_stream("libx264", rate=rate, options={"crf": str(CRF), "preset": "veryfast"})
            stream.width, stream.height = width + width % 2, height + height % 2
            stream.pix_fmt = "yuv420p"
            context = stream.codec_context
            context.time_base = TIME_BASE
            context.colorspace = context.color_primaries = context.color_trc = BT601
            context.color_range = LIMITED
            self._stream = stream
            self._sound = self._copied_sound()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._part.unlink(missing_ok=True)
            raise OutputError(f"{self._path} cannot be written as a video: {error}; choose another with --output") from None
        return self

    def write(self, shot: Shot) -> bool:
        import av

        picture = av.VideoFrame.from_ndarray(to_i420(shot.frame, self._size_hw), format="yuv420p")
        picture.colorspace, picture.color_range = BT601, LIMITED
        # Times come from a clock or from another container: they must rise, and must not jump back.
        self._last_pts = max(round(shot.time_s / TIME_BASE), self._last_pts + 1)
        picture.pts, picture.time_base = self._last_pts, TIME_BASE
        try:
            self._file.mux(self._stream.encode(picture))
            self._copy_sound(shot.time_s)
        except (av.error.FFmpegError, OSError) as error:
            raise cannot_write(self._path, error) from None
        return True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        import av

        whole = kind is None or issubclass(kind, KeyboardInterrupt | SystemExit | CaptureError)
        try:
            if whole and self._last_pts >= 0:
                self._file.mux(self._stream.encode(None))
                self._copy_sound(float(self._last_pts * TIME_BASE) + 1 / self._fps)
            self._file.close()
            if whole and self._last_pts >= 0:
                os.replace(self._part, self._path)
        except (av.error.FFmpegError, OSError) as failure:
            if whole:
                raise cannot_write(self._path, failure) from None
        finally:
            if self._sound_file is not None:
                self._sound_file.close()
            self._part.unlink(missing_ok=True)

    def _copied_sound(self) -> Iterator[Any] | None:
        """Packets of the sound, readdressed to our file; None where there is none or the container cannot hold it."""
        import av

        if self._sound_of is None:
            return None
        source = av.open(str(self._sound_of))
        self._sound_file = source
        if not source.streams.audio:
            return None
        try:
            target = self._file.add_stream_from_template(source.streams.audio[0])
        except (av.error.FFmpegError, ValueError):
            return None
        # Sound is placed against the first video frame, which we put at zero.
        video = source.streams.video[0]
        start_s = float((video.start_time or 0) * (video.time_base or 0))
        return _readdressed(source, target, start_s)

    def _copy_sound(self, until_s: float) -> None:
        """Interleave: the sound up to a time, so that neither player nor muxer has to look far."""
        while self._sound is not None:
            packet = next(self._sound, None)
            if packet is None:
                self._sound = None
                return
            self._file.mux_one(packet)
            if float(packet.pts * packet.time_base) >= until_s:
                return


def _readdressed(source: av.container.InputContainer, target: Any, start_s: float) -> Iterator[Any]:
    for packet in source.demux(source.streams.audio[0]):
        if packet.dts is None or packet.pts is None or packet.time_base is None:  # the flushing packet
            continue
        shift = round(start_s / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = target
        yield packet


def to_i420(frame: Frame, size_hw: tuple[int, int]) -> Frame:
    """(3h/2, w) the planes Y, U, V of `frame`, BT.601 limited; odd sides made even, another size fitted to `size_hw`."""
    if frame.shape[:2] != size_hw:  # the pictures of a folder differ; a video cannot
        frame = cv2.resize(frame, size_hw[::-1], interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    height, width = size_hw
    if height % 2 or width % 2:
        frame = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    return cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)  # type: ignore[return-value]
