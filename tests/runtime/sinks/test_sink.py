"""Sinks: exact colours and times, whole files or none, and the right sink for each output."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edgeseg.errors import CaptureError, EdgesegError, OutputError, UsageError
from edgeseg.runtime import Pictures, Shot, SyntheticCamera, VideoSink, open_sink, open_source
from edgeseg.runtime.picture import write_picture
from edgeseg.runtime.sinks.http_server import HttpSink
from edgeseg.runtime.sinks.sink import Null, PictureFile, PictureFolder
from edgeseg.runtime.sinks.video_file import to_i420
from edgeseg.runtime.sinks.virtual_camera import VirtualCamera

BARS = [(255, 255, 255), (0, 255, 255), (255, 255, 0), (0, 255, 0), (255, 0, 255), (0, 0, 255), (255, 0, 0), (0, 0, 0)]


def colour_bars(size: tuple[int, int] = (128, 256)) -> np.ndarray:
    frame = np.empty((*size, 3), np.uint8)
    for index, colour in enumerate(BARS):
        frame[:, index * size[1] // 8 : (index + 1) * size[1] // 8] = colour
    return frame


def write_video(path: Path, frame: np.ndarray, count: int = 5) -> Path:
    with VideoSink(path, (frame.shape[0], frame.shape[1]), 30) as sink:
        for index in range(count):
            sink.write(Shot(frame, index / 30))
    return path


def read_video(path: Path) -> list[Shot]:
    with open_source(path) as source:
        return list(source)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_colour_bars_survive_the_video_file(tmp_path: Path, suffix: str) -> None:
    frame = read_video(write_video(tmp_path / f"bars{suffix}", colour_bars()))[2].frame
    middles = frame[64, 16::32].astype(int)
    assert np.abs(middles - BARS).max() <= 3  # two of which are 8-bit Y'CbCr itself; U and V swapped would be 200


def test_the_file_says_which_colours_it_has_and_can_be_streamed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", colour_bars())
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_range) == (6, 1)  # BT.601, limited
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_i420_by_the_formula_of_bt601() -> None:
    planes = to_i420(np.full((2, 2, 3), (0, 0, 255), np.uint8), (2, 2)).ravel()
    assert planes.tolist() == [82, 82, 82, 82, 90, 240]  # red: Y 81.5, Cb 90, Cr 240


@pytest.mark.parametrize("size", [(1, 1), (479, 641), (2, 2), (33, 16)])
def test_odd_sizes_lose_no_line(tmp_path: Path, size: tuple[int, int]) -> None:
    frame = np.full((*size, 3), 100, np.uint8)
    frame[-1], frame[:, -1] = 160, 160
    got = read_video(write_video(tmp_path / "odd.mp4", frame))[0].frame
    assert got.shape[:2] == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert abs(int(got[-1, -1, 0]) - 160) <= 6


def test_frame_times_that_do_not_rise_are_mended(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "a.mp4", (16, 16), 30) as sink:
        for time_s in (0.0, 0.1, 0.1, 0.05, 0.2):
            sink.write(Shot(np.zeros((16, 16, 3), np.uint8), time_s))
    times = [shot.time_s for shot in read_video(tmp_path / "a.mp4")]
    assert len(times) == 5
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx(0.2, abs=1e-3)


def write_until(error: type[BaseException], path: Path) -> None:
    with VideoSink(path, (16, 16), 30) as sink:
        for index in range(7):
            sink.write(Shot(np.zeros((16, 16, 3), np.uint8), index / 30))
        raise error


@pytest.mark.parametrize("end", [KeyboardInterrupt, CaptureError])
def test_ctrl_c_and_a_camera_that_vanishes_leave_a_video_that_plays(tmp_path: Path, end: type[BaseException]) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(end):
        write_until(end, path)
    assert len(read_video(path)) == 7
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_a_failure_leaves_what_was_there_before(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("precious")
    with pytest.raises(ZeroDivisionError):
        write_until(ZeroDivisionError, path)
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_an_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    inside = tmp_path / "file" / "out"
    for sink in (VideoSink(inside / "a.mp4", (16, 16), 30), PictureFile(inside / "a.png"), PictureFolder(inside)):
        with pytest.raises(OutputError, match="cannot be written") as caught, sink:
            pass
        assert "\n" not in str(caught.value)


def test_a_picture_of_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"use \.png"):
        write_picture(tmp_path / "a.xyz", np.zeros((2, 2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made_and_pictures_keep_their_names(tmp_path: Path) -> None:
    with PictureFolder(tmp_path / "new" / "deep") as sink:
        sink.write(Shot(np.full((2, 2, 3), 7, np.uint8), 0.0, "ann"))
    assert cv2.imread(str(tmp_path / "new" / "deep" / "ann.png"))[0, 0].tolist() == [7, 7, 7]


@pytest.mark.parametrize(
    ("source", "output", "expected"),
    [
        ("me.png", "out.jpg", PictureFile),
        ("me.png", "out.mp4", VideoSink),
        ("me.png", "made", PictureFile),
        ("folder", "other", PictureFolder),
        ("clip.mp4", "out.mp4", VideoSink),
        ("clip.mp4", "made", VideoSink),
        ("camera", "out.mkv", VideoSink),
        ("camera", "vcam", VirtualCamera),
        ("camera", "vcam:/dev/video9", VirtualCamera),
        ("camera", "http://127.0.0.1:8080", HttpSink),
        ("camera", "null", Null),
        ("clip.mp4", "null", Null),
        ("camera", "http://0.0.0.0:8080", UsageError),
        ("camera", "rtsp://127.0.0.1/x", UsageError),
        ("me.png", "out.txt", UsageError),
        ("me.png", "me.png", UsageError),
        ("folder", "out.mp4", UsageError),
        ("clip.mp4", "out.png", UsageError),
        ("camera", "out.png", UsageError),
    ],
)
def test_the_output_decides_the_sink(tmp_path: Path, source: str, output: str, expected: type) -> None:
    for folder in ("folder", "made"):
        (tmp_path / folder).mkdir()
    for picture in ("me.png", "folder/a.png"):
        write_picture(tmp_path / picture, np.zeros((2, 2, 3), np.uint8))
    write_video(tmp_path / "clip.mp4", np.zeros((16, 16, 3), np.uint8))
    with SyntheticCamera() if source == "camera" else open_source(tmp_path / source) as opened:
        where = output if output == "null" or ":" in output or output == "vcam" else tmp_path / output
        if issubclass(expected, EdgesegError):
            with pytest.raises(expected):
                open_sink(where, opened)
        else:
            assert isinstance(open_sink(where, opened), expected)


def test_pictures_is_a_source_of_any_list(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8))
    with Pictures([tmp_path / "a.png"]) as source:
        assert [shot.name for shot in source] == ["a"]
