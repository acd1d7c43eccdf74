"""A video file: H.264, the source's frame times and its sound."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2

from edgeseg.errors import CaptureError, MissingExtraError, OutputError
from edgeseg.runtime.arrays import Frame, Shot
from edgeseg.runtime.sinks.fragments import trim_to_whole_fragments
from edgeseg.runtime.sinks.sound import Sound
from edgeseg.whole import cannot_write, make_folder, part_of

TIME_BASE = Fraction(1, 90_000)
FRAGMENT_S = 2  # of a recording: as much is lost where it cannot be finished
CRF = 20  # visually near to lossless at some 3 Mbit/s for 720p talking heads
# OpenCV converts by BT.601 in limited range, exactly and fast. The file says so, and players go by what it says.
BT601, LIMITED = 6, 1


class VideoSink:
    """Writes `path` under a temporary name; it gets its own when it is closed in order.

    size_hw   (height, width); an odd side is made even by repeating its last line, as 4:2:0 colour needs
    fps       for players that want one; every frame keeps its own `time_s`
    sound_of  a video file whose sound is kept
    live      a recording that cannot be made again: it is written in fragments of two seconds, and where the disk is full
              those before that stay, and play. (Once it is closed in order, it is as any other file.)

    Ctrl-C, and a camera that vanishes, close in order: the part so far plays. Any other exception removes what was written.
    """

    def __init__(
        self, path: str | Path, size_hw: tuple[int, int], fps: float, sound_of: Path | None = None, live: bool = False
    ) -> None:
        self._path = Path(path)
        self._part = part_of(self._path)
        self._size_hw = size_hw
        self._fps = fps
        self._sound_of = sound_of
        self._live = live
        self._over = False  # the disk was full: what there is has been kept, and no more comes
        self._last_pts = -1

    def __enter__(self) -> VideoSink:
        import av

        av.logging.set_level(None)
        if "libx264" not in av.codecs_available:
            raise MissingExtraError("an FFmpeg with libx264", "video", "writing a video")
        make_folder(self._path.parent)
        height, width = self._size_hw
        options = {} if self._is_matroska else {"movflags": "hybrid_fragmented+frag_keyframe" if self._live else "faststart"}
        self._sound: Sound | None = None
        try:
            self._file = av.open(str(self._part), "w", options=options)
            rate = Fraction(self._fps).limit_denominator(1001)
            stream: Any = self._file.add_stream("libx264", rate=rate, options={"crf": str(CRF), "preset": "veryfast"})
            stream.width, stream.height = width + width % 2, height + height % 2
            stream.pix_fmt = "yuv420p"
            if self._live:
                stream.gop_size = max(1, round(FRAGMENT_S * self._fps))
            context = stream.codec_context
            context.time_base = TIME_BASE
            context.colorspace = context.color_primaries = context.color_trc = BT601
            context.color_range = LIMITED
            self._stream = stream
            self._sound = Sound(self._sound_of, self._file) if self._sound_of else None
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
            if self._sound is not None:
                self._sound.copy_until(shot.time_s)
        except (av.error.FFmpegError, OSError) as error:
            raise self._given_up(error) from None
        return True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        import av

        if self._over:
            return
        whole = kind is None or issubclass(kind, KeyboardInterrupt | SystemExit | CaptureError)
        try:
            if whole and self._last_pts >= 0:
                self._file.mux(self._stream.encode(None))
                if self._sound is not None:
                    self._sound.copy_until(float(self._last_pts * TIME_BASE) + 1 / self._fps)
            self._file.close()
            if whole and self._last_pts >= 0:
                os.replace(self._part, self._path)
        except (av.error.FFmpegError, OSError) as failure:
            if whole:
                raise self._given_up(failure) from None
        finally:
            if self._sound is not None:
                self._sound.close()
            self._part.unlink(missing_ok=True)

    @property
    def _is_matroska(self) -> bool:
        return self._path.suffix.lower() == ".mkv"

    def _given_up(self, error: Exception) -> OutputError:
        """The error to raise after a write that failed; of a recording, what is whole is kept."""
        self._over = True
        with suppress(Exception):  # it failed already, and will again
            self._file.close()
        if self._sound is not None:
            self._sound.close()
        try:
            kept = self._live and (self._is_matroska or trim_to_whole_fragments(self._part) > 0)
            if kept:
                os.replace(self._part, self._path)
                why = getattr(error, "strerror", None) or error
                return OutputError(
                    f"{self._path} cannot be written any further: {why}; "
                    f"what came before ({_length_s(self._path):.0f} s) is kept and plays"
                )
        except OSError:
            pass
        self._part.unlink(missing_ok=True)
        return cannot_write(self._path, error)


def _length_s(path: Path) -> float:
    """When the last frame of a video file is shown; nothing is decoded."""
    import av

    last_s = 0.0
    with suppress(av.error.FFmpegError, OSError), av.open(str(path)) as file:  # its end may be in pieces
        for packet in file.demux(video=0):
            if packet.pts is not None and packet.time_base is not None:
                last_s = max(last_s, float(packet.pts * packet.time_base))
    return last_s


def to_i420(frame: Frame, size_hw: tuple[int, int]) -> Frame:
    """(3h/2, w) the planes Y, U, V of `frame`, BT.601 limited; odd sides made even, another size fitted to `size_hw`."""
    if frame.shape[:2] != size_hw:  # the pictures of a folder differ; a video cannot
        frame = cv2.resize(frame, size_hw[::-1], interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    height, width = size_hw
    if height % 2 or width % 2:
        frame = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    return cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)  # type: ignore[return-value]
