"""Video files in and out: sound, frame times and rotation are kept, whatever the file they come from."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from edgeseg.runtime import Blur, NullSession, Shot, VideoFile, VideoSink, open_sink, open_source, run

RATE = 16_000
TIMES_S = [0.0, 0.04, 0.2, 0.21, 0.5, 0.9]  # a phone's variable rate


def write_talk(path: Path, sound: str, offset_s: float = 0.0, rate: int = RATE) -> Path:
    """Six frames at TIMES_S, 48 x 64, red in the upper left quarter and blue elsewhere; a second of a tone of 440 Hz."""
    picture = np.full((48, 64, 3), (200, 0, 0), np.uint8)
    picture[:24, :32] = (0, 0, 200)
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=25, options={"crf": "10"})
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        base = Fraction(1, 25) if path.suffix == ".avi" else Fraction(1, 1000)
        video.codec_context.time_base = base
        audio = file.add_stream(sound, rate=rate, layout="mono")
        times_s = [i / 25 for i in range(30)] if path.suffix == ".avi" else TIMES_S  # AVI has none but its rate
        for time_s in times_s:
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = round((time_s + offset_s) / base), base
            file.mux(video.encode(frame))
        for index in range(10):
            tone = 8000 * np.sin(2 * np.pi * 440 * (np.arange(rate // 10) + index * rate // 10) / rate)
            wave = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], format="s16", layout="mono")
            wave.sample_rate, wave.pts, wave.time_base = rate, index * rate // 10 + round(offset_s * rate), Fraction(1, rate)
            file.mux(audio.encode(wave))
        file.mux(video.encode(None))
        file.mux(audio.encode(None))
    return path


def turn(path: Path, degrees: int) -> None:
    """Write into the file's track header that it is to be shown turned clockwise (ISO/IEC 14496-12, section 8.3.2)."""
    a, b, c, d = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in matrix)
    path.write_bytes(data)


def convert(source: Path, target: Path) -> None:
    with Blur(NullSession()) as blur, open_source(source) as opened, open_sink(target, opened) as sink:
        run(opened, blur, sink)


def starts(path: Path) -> float:
    """The time of the first frame, in seconds, as the file has it."""
    with av.open(str(path)) as file:
        return next(file.decode(video=0)).time or 0.0


def sound_of(path: Path) -> tuple[str, float, np.ndarray]:
    """(codec, when it begins in seconds, its samples in -1..1)."""
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        frames = list(file.decode(stream))
        begin_s = float(frames[0].pts * frames[0].time_base)  # type: ignore[operator]
        samples = [frame.to_ndarray().astype(float)[0] for frame in frames]
        kind = frames[0].format.name
    scale = 32768 if kind.startswith("s16") else 1
    return stream.codec_context.name, begin_s, np.concatenate(samples) / scale


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_sound_that_browsers_play_is_copied_to_the_byte(tmp_path: Path, suffix: str) -> None:
    talk = write_talk(tmp_path / "talk.mp4", "aac")
    convert(talk, tmp_path / f"out{suffix}")
    packets = []  # with their times against the first frame: Matroska has none below zero, and puts all a little later
    for path in (talk, tmp_path / f"out{suffix}"):
        with av.open(str(path)) as file:
            found = [p for p in file.demux(file.streams.audio[0]) if p.pts is not None]
            packets.append([(float(p.pts * p.time_base) - starts(path), bytes(p)) for p in found])  # type: ignore[operator]
    assert len(packets[0]) > 10
    assert [data for _, data in packets[1]] == [data for _, data in packets[0]]
    assert [t for t, _ in packets[1]] == pytest.approx([t for t, _ in packets[0]], abs=2e-3)


@pytest.mark.parametrize(
    ("name", "sound"), [("talk.avi", "pcm_s16le"), ("talk.avi", "pcm_alaw"), ("talk.mov", "pcm_s16le"), ("talk.mkv", "ac3")]
)
def test_sound_that_browsers_do_not_play_is_encoded_again(tmp_path: Path, name: str, sound: str) -> None:
    rate = 48_000 if sound == "ac3" else RATE  # AC-3 has few
    convert(write_talk(tmp_path / name, sound, rate=rate), tmp_path / "out.mp4")
    codec, begin_s, samples = sound_of(tmp_path / "out.mp4")
    assert codec == "aac"
    assert abs(begin_s) < 0.1
    spectrum = np.abs(np.fft.rfft(samples[2000:10000]))
    assert abs(spectrum.argmax() * rate / 8000 - 440) < 5
    assert np.abs(samples[2000:10000]).max() == pytest.approx(8000 / 32768, rel=0.1)


@pytest.mark.parametrize("offset_s", [0.0, 1.5])
def test_frame_times_are_kept_and_sound_stays_with_them(tmp_path: Path, offset_s: float) -> None:
    convert(write_talk(tmp_path / "talk.mkv", "flac", offset_s), tmp_path / "out.mp4")
    with open_source(tmp_path / "out.mp4") as result:
        assert [shot.time_s for shot in result] == pytest.approx(TIMES_S, abs=2e-3)
    _, begin_s, _ = sound_of(tmp_path / "out.mp4")
    assert begin_s == pytest.approx(0, abs=0.01)  # both begin at once, however late that was in the source


@pytest.mark.parametrize(
    ("degrees", "corner"),  # where the red quarter, at the upper left, comes to lie
    [(90, "upper right"), (180, "lower right"), (270, "lower left")],
)
def test_a_turned_video_comes_upright_and_goes_out_so(tmp_path: Path, degrees: int, corner: str) -> None:
    talk = write_talk(tmp_path / "talk.mp4", "aac")
    turn(talk, degrees)
    convert(talk, tmp_path / "out.mp4")
    with VideoFile(talk) as source, VideoFile(tmp_path / "out.mp4") as result:
        assert source.size_hw == result.size_hw == ((48, 64) if degrees == 180 else (64, 48))
        frame = next(iter(source)).frame
    height, width = frame.shape[:2]
    rows = slice(4, 20) if "upper" in corner else slice(height - 20, height - 4)
    columns = slice(4, 20) if "left" in corner else slice(width - 20, width - 4)
    assert frame[rows, columns, 2].mean() > 150
    assert frame[..., 2].mean() < 80  # a quarter is red
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert next(file.decode(video=0)).rotation == 0  # turned once, not twice


def test_a_video_without_sound_gets_none(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "silent.mp4", (48, 64), 10) as sink:
        sink.write(Shot(np.zeros((48, 64, 3), np.uint8), 0.0))
    convert(tmp_path / "silent.mp4", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert not file.streams.audio


def test_sound_that_ends_early_does_not_end_the_video(tmp_path: Path) -> None:
    talk = write_talk(tmp_path / "talk.mp4", "aac")
    with VideoFile(talk) as source, VideoSink(tmp_path / "out.mp4", source.size_hw, 25, sound_of=talk) as sink:
        frame = next(iter(source)).frame
        for index in range(60):  # 2.4 s, of which one has sound
            sink.write(Shot(frame, index / 25))
    with open_source(tmp_path / "out.mp4") as result:
        assert len(list(result)) == 60
