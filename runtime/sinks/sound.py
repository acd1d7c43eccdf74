"""The sound of one video file, for another: copied as it is where browsers play its kind, else encoded again as AAC."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av

PLAYED = {"aac", "mp3", "opus", "flac", "vorbis"}  # by browsers, inside of MP4 or Matroska
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
BITS_A_SECOND = 128_000


class Sound:
    """The first audio stream of `path`, written into the open container `file` beside its video.

    Times are kept against the first video frame, which the video sink puts at zero.
    """

    def __init__(self, path: Path, file: av.container.OutputContainer) -> None:
        import av

        self._file = file
        self._source = av.open(str(path))
        self._packets: Iterator[Any] | None = None
        if not self._source.streams.audio:
            return
        sound, video = self._source.streams.audio[0], self._source.streams.video[0]
        start_s = float((video.start_time or 0) * (video.time_base or 0))
        if sound.codec_context.name in PLAYED:
            self._packets = _copied(self._source, file.add_stream_from_template(sound), start_s)
        else:
            rate = min(AAC_RATES, key=lambda known: abs(known - sound.rate))
            layout = "mono" if sound.channels == 1 else "stereo"  # AVI and WAV do not name theirs
            target = file.add_stream("aac", rate=rate, layout=layout, bit_rate=BITS_A_SECOND)
            self._packets = _encoded(self._source, target, start_s)

    def copy_until(self, time_s: float) -> None:
        """Interleave: the sound up to a time, so that neither player nor muxer has to look far."""
        while self._packets is not None:
            packet = next(self._packets, None)
            if packet is None:
                self._packets = None
                return
            self._file.mux_one(packet)
            if float(packet.pts * packet.time_base) >= time_s:
                return

    def close(self) -> None:
        self._source.close()


def _copied(source: av.container.InputContainer, target: Any, start_s: float) -> Iterator[Any]:
    for packet in source.demux(source.streams.audio[0]):
        if packet.dts is None or packet.pts is None or packet.time_base is None:  # the flushing packet
            continue
        shift = round(start_s / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = target
        yield packet


def _encoded(source: av.container.InputContainer, target: Any, start_s: float) -> Iterator[Any]:
    import av

    resampler = av.AudioResampler(format="fltp", layout=target.codec_context.layout.name, rate=target.codec_context.rate)
    time_base = Fraction(1, target.codec_context.rate)
    for frame in source.decode(source.streams.audio[0]):
        if frame.pts is None or frame.time_base is None:
            continue
        begin_s = float(frame.pts * frame.time_base) - start_s
        for part in resampler.resample(frame):
            part.pts, part.time_base = round(begin_s / time_base), time_base
            begin_s += part.samples / part.sample_rate
            yield from target.encode(part)
    yield from target.encode(None)
