"""The person before nothing: what is in the files, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edgeseg.errors import CaptureError, OutputError, UsageError
from edgeseg.runtime import Blur, NullSession, Shot, open_source, open_transparent, run
from edgeseg.runtime.sinks.transparent import TransparentVideo, with_alpha
from tests.runtime.sinks.test_sink import write_video


def shot_of(value: int, alpha: int | None, time_s: float = 0.0, size: tuple[int, int] = (48, 64)) -> Shot:
    frame = np.full((*size, 3), (10, value, 200), np.uint8)
    return Shot(frame, time_s, "a", alpha=None if alpha is None else np.full(size, alpha, np.uint8))


def read_alpha_video(path: Path) -> list[tuple[float, np.ndarray]]:
    """Times and BGRA frames; FFmpeg's own decoder of VP9 ignores alpha."""
    with av.open(str(path)) as file:
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        packets = [packet for packet in file.demux(file.streams.video[0]) if packet.size]
        decoded = [(float(p.pts * p.time_base), frame) for p in packets for frame in decoder.decode(p)]
        assert file.streams.video[0].metadata["ALPHA_MODE"] == "1"  # players ask for it
    return [(time_s, frame.to_ndarray(format="bgra")) for time_s, frame in decoded]


def test_a_hidden_frame_is_nothing() -> None:
    assert (with_alpha(shot_of(90, None))[..., 3] == 0).all()
    assert with_alpha(shot_of(90, 130))[0, 0].tolist() == [10, 90, 200, 130]


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (1, 1)])
def test_a_video_keeps_its_alpha_its_colours_and_its_times(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "out.webm"
    times = [0.0, 0.1, 0.35, 0.36]
    with TransparentVideo(path, size, 30) as sink:
        for index, time_s in enumerate(times):
            sink.write(shot_of(90, 80 * index, time_s, size))
    shown = read_alpha_video(path)
    assert [time_s for time_s, _ in shown] == pytest.approx(times, abs=2e-3)
    for index, (_, picture) in enumerate(shown):
        assert picture.shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 4)
        assert np.abs(picture[..., 3].astype(int) - 80 * index).max() <= 6
        assert np.abs(picture[..., :3].astype(int) - (10, 90, 200)).max() <= 8


def test_the_sound_comes_along(tmp_path: Path) -> None:
    talk = tmp_path / "talk.mp4"
    with av.open(str(talk), "w") as file:
        video = file.add_stream("libx264", rate=10)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        sound = file.add_stream("aac", rate=16000, layout="mono")
        for index in range(10):
            file.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), format="yuv420p")))
            tone = np.sin(np.arange(1600) * 0.1)[None].astype(np.float32)
            wave = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            wave.sample_rate, wave.pts, wave.time_base = 16000, index * 1600, Fraction(1, 16000)
            file.mux(sound.encode(wave))
        file.mux(video.encode(None))
        file.mux(sound.encode(None))
    with open_source(talk) as source, open_transparent(tmp_path / "out.webm", source) as sink:
        for shot in source:
            sink.write(shot)
    with av.open(str(tmp_path / "out.webm")) as result:
        assert result.streams.audio[0].codec_context.name == "opus"
        loud = np.concatenate([frame.to_ndarray().ravel() for frame in result.decode(audio=0)])
    assert len(loud) / 2 / 48_000 == pytest.approx(1.0, abs=0.15)
    assert loud.std() > 0.3


@pytest.mark.parametrize("end", [KeyboardInterrupt, CaptureError, ZeroDivisionError])
def test_only_a_run_that_broke_leaves_no_file(tmp_path: Path, end: type[BaseException]) -> None:
    def break_off() -> None:
        with TransparentVideo(tmp_path / "out.webm", (16, 16), 30) as sink:
            for index in range(5):
                sink.write(shot_of(90, 255, index / 30, (16, 16)))
            raise end

    with pytest.raises(end):
        break_off()
    assert [path.name for path in tmp_path.iterdir()] == ([] if end is ZeroDivisionError else ["out.webm"])


def test_pictures_and_folders_of_them(tmp_path: Path) -> None:
    frame = np.full((120, 160, 3), (20, 60, 200), np.uint8)
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), frame)
    for source_path, output, made in (
        ("in", "out", "out/b.png"),
        ("in/a.png", "one.png", "one.png"),
        ("in/a.png", "o.webp", "o.webp"),
    ):
        blur = Blur(NullSession(), background="transparent")
        with open_source(tmp_path / source_path) as source, open_transparent(tmp_path / output, source) as sink:
            run(source, blur, sink)
        picture = cv2.imread(str(tmp_path / made), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (120, 160, 4)
        assert np.abs(picture[75, 80].astype(int) - (20, 60, 200, 255)).max() <= 3
        assert picture[3, 3].tolist() == [0, 0, 0, 0]  # not one pixel of the room, not even under an alpha of 0


@pytest.mark.parametrize(
    ("source_name", "output", "says"),
    [
        ("clip.mp4", "out.mp4", "webm"),
        ("clip.mp4", None, "webm"),
        ("clip.mp4", "vcam", "webm"),
        ("me.png", "out.jpg", ".png"),
        ("me.png", None, ".png"),
        ("folder", "out.png", "folder"),
        ("folder", None, "folder"),
    ],
)
def test_what_has_no_alpha_is_refused(tmp_path: Path, source_name: str, output: str | None, says: str) -> None:
    frame = np.zeros((16, 16, 3), np.uint8)
    write_video(tmp_path / "clip.mp4", frame)
    (tmp_path / "folder").mkdir()
    for name in ("me.png", "folder/a.png"):
        cv2.imwrite(str(tmp_path / name), frame)
    with open_source(tmp_path / source_name) as source, pytest.raises(UsageError, match=says):
        open_transparent(None if output is None else tmp_path / output, source)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), TransparentVideo(tmp_path / "file" / "a.webm", (16, 16), 30):
        pass
