"""The person alone, before nothing: PNG pictures and WebM videos with an alpha plane, for whoever composites elsewhere.

Colours are the person's own, not multiplied by alpha, as both formats want them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edgeseg.errors import CaptureError, MissingExtraError, OutputError, UsageError
from edgeseg.runtime.arrays import Shot
from edgeseg.runtime.capture.source import Source
from edgeseg.runtime.picture import write_picture
from edgeseg.runtime.sinks.outputs import Outputs
from edgeseg.runtime.sinks.sink import Sink
from edgeseg.whole import cannot_write, make_folder, part_of

if TYPE_CHECKING:
    import av

PICTURES, VIDEOS = (".png", ".webp"), (".webm",)
CODEC = "libvpx-vp9"
TIME_BASE = Fraction(1, 1000)  # WebM counts milliseconds
CRF = 24
SOUND_HZ = 48_000


def open_transparent(output: str | Path | None, source: Source) -> Sink:
    """The sink for `output`: FILE.png (or .webp) for a picture, a folder for a folder of pictures, FILE.webm for a video.

    UsageError for what has no alpha plane: windows, cameras, MP4, JPEG.
    """
    path = Path(output) if output is not None else None
    if source.still:
        folder = source.path is not None and source.path.is_dir()
        if path is not None and (path.suffix.lower() in PICTURES) != folder:
            return TransparentPictures(path, named=folder)
        raise UsageError(f"what is transparent goes to a {'folder' if folder else 'file .png or .webp'}; got {output}")
    if path is not None and path.suffix.lower() in VIDEOS:
        return TransparentVideo(path, source.size_hw, source.fps or 30.0, sound_of=source.path)
    raise UsageError(f"a transparent video goes to a file .webm, the one kind that browsers play; got {output}")


def transparent_outputs(names: Sequence[str], source: Source, say: Callable[[str], None]) -> Outputs:
    """A sink, not yet entered, for what follows --output."""
    wanted: Sequence[str | None] = names or [None]
    return Outputs([open_transparent(name, source) for name in wanted], say)


def with_alpha(shot: Shot) -> Any:
    """(h, w, 4) uint8 BGRA; nothing at all where the shot has no alpha: that frame was hidden."""
    alpha = np.zeros(shot.frame.shape[:2], np.uint8) if shot.alpha is None else shot.alpha
    blue, green, red = cv2.split(shot.frame)
    return cv2.merge([blue, green, red, alpha])


class TransparentPictures:
    """One picture file, or `named` pictures of a folder as PNG. See `sinks.Sink`."""

    def __init__(self, path: Path, named: bool) -> None:
        self._path = path
        self._named = named

    def __enter__(self) -> TransparentPictures:
        make_folder(self._path if self._named else self._path.parent)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def write(self, shot: Shot) -> bool:
        write_picture(self._path / f"{shot.name}.png" if self._named else self._path, with_alpha(shot))
        return True


class TransparentVideo:
    """WebM: VP9 with alpha, the source's frame times, its sound as Opus. Whole or not at all, as `VideoSink` does."""

    def __init__(self, path: Path, size_hw: tuple[int, int], fps: float, sound_of: Path | None = None) -> None:
        self._path, self._part = path, part_of(path)
        self._size_hw, self._fps, self._sound_of = size_hw, fps, sound_of
        self._last_pts = -1

    def __enter__(self) -> TransparentVideo:
        import av

        av.logging.set_level(None)
        if CODEC not in av.codecs_available:
            raise MissingExtraError(f"an FFmpeg with {CODEC}", "video", "writing a transparent video")
        make_folder(self._path.parent)
        height, width = self._size_hw
        try:
            self._file = av.open(str(self._part), "w")
            # A reference frame that is never shown, which VP9 makes else, cannot carry alpha.
            options = {"crf": str(CRF), "b": "0", "deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0"}
            stream: Any = self._file.add_stream(CODEC, rate=Fraction(self._fps).limit_denominator(1001), options=options)
            stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuva420p"
            stream.codec_context.time_base = TIME_BASE
            stream.metadata["alpha_mode"] = "1"
            self._stream = stream
            self._sound = None if self._sound_of is None else self._opened_sound(self._sound_of)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._part.unlink(missing_ok=True)
            raise OutputError(f"{self._path} cannot be written as a video: {error}; choose another with --output") from None
        return self

    def write(self, shot: Shot) -> bool:
        import av

        height, width = self._size_hw
        picture = cv2.copyMakeBorder(with_alpha(shot), 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(picture, format="bgra").reformat(format="yuva420p")
        self._last_pts = max(round(shot.time_s / TIME_BASE), self._last_pts + 1)  # times must rise
        frame.pts, frame.time_base = self._last_pts, TIME_BASE
        try:
            self._file.mux(self._stream.encode(frame))
            self._write_sound(shot.time_s)
        except (av.error.FFmpegError, OSError) as error:
            raise cannot_write(self._path, error) from None
        return True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        import av

        whole = kind is None or issubclass(kind, KeyboardInterrupt | SystemExit | CaptureError)
        try:
            if whole and self._last_pts >= 0:
                self._file.mux(self._stream.encode(None))
                self._write_sound(float(self._last_pts * TIME_BASE) + 1 / self._fps)
                if self._sound is not None:
                    self._file.mux(self._sound_stream.encode(None))
            self._file.close()
            if whole and self._last_pts >= 0:
                os.replace(self._part, self._path)
        except (av.error.FFmpegError, OSError) as failure:
            if whole:
                raise cannot_write(self._path, failure) from None
        finally:
            self._part.unlink(missing_ok=True)

    def _opened_sound(self, path: Path) -> Iterator[tuple[float, Any]] | None:
        """Times and frames of the sound, as Opus wants them; None where there is none."""
        import av

        source = av.open(str(path))
        if not source.streams.audio or "libopus" not in av.codecs_available:
            source.close()
            return None
        self._sound_stream: Any = self._file.add_stream("libopus", rate=SOUND_HZ)
        video = source.streams.video[0]
        return _resampled(source, float((video.start_time or 0) * (video.time_base or 0)))

    def _write_sound(self, until_s: float) -> None:
        """Interleave: the sound up to a time."""
        while self._sound is not None and (next_ := next(self._sound, None)) is not None:
            time_s, frame = next_
            self._file.mux(self._sound_stream.encode(frame))
            if time_s >= until_s:
                return


def _resampled(source: av.container.InputContainer, start_s: float) -> Iterator[tuple[float, Any]]:
    import av

    with source:
        resampler = av.AudioResampler(format="s16", layout="stereo", rate=SOUND_HZ)
        for frame in source.decode(source.streams.audio[0]):
            for piece in resampler.resample(frame):
                piece.pts = (piece.pts or 0) - round(start_s * SOUND_HZ)  # placed against the first video frame, at zero
                if piece.pts >= 0:
                    yield piece.pts / SOUND_HZ, piece
