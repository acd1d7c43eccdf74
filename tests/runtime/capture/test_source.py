"""Sources: every kind of picture as BGR, upright; videos with their times; cameras that are not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.errors import CaptureError, DataError
from edgeseg.runtime import Shot, SyntheticCamera, VideoSink, open_source, read_picture
from edgeseg.runtime.capture.source import list_pictures


@pytest.mark.parametrize("size", [(1, 1), (479, 641), (720, 1280)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_colour_and_transparent_pictures_are_all_bgr(tmp_path: Path, size: tuple[int, int], channels: int) -> None:
    pixel = {1: (90,), 3: (10, 20, 30), 4: (10, 20, 30, 128)}[channels]
    picture = np.full((*size, channels), pixel, np.uint8)
    cv2.imwrite(str(tmp_path / "p.png"), picture)
    frame = read_picture(tmp_path / "p.png")
    assert frame.shape == (*size, 3)
    assert frame[0, 0].tolist() == (list(pixel[:3]) if channels > 1 else [90, 90, 90])


def test_exif_orientation_is_respected(tmp_path: Path) -> None:
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, :40] = 255  # white on the left
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    # Orientation 6: to be shown turned clockwise. A TIFF block with one entry: tag 0x0112, type SHORT, count 1.
    tiff = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    app1 = b"\xff\xe1" + (len(tiff) + 2).to_bytes(2, "big") + tiff
    (tmp_path / "p.jpg").write_bytes(jpeg[:2] + app1 + jpeg[2:])
    frame = read_picture(tmp_path / "p.jpg")
    assert frame.shape == (80, 40, 3)
    assert frame[:30].min() > 240  # left has become top
    assert frame[50:].max() < 15


def test_a_folder_gives_its_pictures_in_the_order_people_count(tmp_path: Path) -> None:
    for name in ("p10.png", "p2.png", "q.txt", ".hidden.png"):
        if name.endswith("png"):
            cv2.imwrite(str(tmp_path / name), np.zeros((4, 6, 3), np.uint8))
        else:
            (tmp_path / name).write_text("x")
    with open_source(tmp_path) as source:
        assert (source.still, source.frames, source.size_hw) == (True, 2, (4, 6))
        assert [shot.name for shot in source] == ["p2", "p10"]


def write_clip(path: Path, times_s: list[float], size: tuple[int, int] = (48, 64)) -> Path:
    with VideoSink(path, size, 10) as sink:
        for index, time_s in enumerate(times_s):
            sink.write(Shot(np.full((*size, 3), 20 * (index % 10) + 20, np.uint8), time_s))
    return path


def test_a_video_keeps_the_times_of_its_frames(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.35, 0.36, 1.0]  # as a webcam that stutters
    with open_source(write_clip(tmp_path / "a.mp4", times)) as source:
        assert (source.still, source.frames, source.size_hw) == (False, 5, (48, 64))
        shots = list(source)
    assert [shot.time_s for shot in shots] == pytest.approx(times, abs=1e-3)
    assert [int(shot.frame.mean()) for shot in shots] == pytest.approx([20, 40, 60, 80, 100], abs=2)


def test_the_synthetic_camera_moves_and_knows_the_truth() -> None:
    with SyntheticCamera((90, 160), frames=3) as source:
        shots = list(source)
    assert [shot.time_s for shot in shots] == pytest.approx([0, 1 / 30, 2 / 30])
    assert (shots[1].frame[source.alpha(1) > 0] == (40, 40, 220)).all()
    assert not (shots[1].frame == shots[0].frame).all()


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    (path / "notes.txt").write_text("x")
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda d: d / "none.jpg", "does not exist"),
        (lambda d: _file(d / "p.jpg", b"hello"), "no picture or video"),
        (lambda d: _file(d / "p.jpg", b""), "no picture or video"),
        (lambda d: _file(d / "p.png", b"\x89PNG\r\n\x1a\n" + bytes(99)), "not a picture|cannot be decoded"),
        (lambda d: _file(d / "v.mp4", b"\0\0\0\x18ftypmp42" + b"0" * 99), "no picture or video"),
        (lambda d: _folder(d / "f"), "holds no pictures"),
    ],
)
def test_a_bad_input_is_refused_in_one_line_and_silently(
    tmp_path: Path, make: Callable[[Path], Path], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match=says) as caught, open_source(make(tmp_path)):
        pass
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_video_cut_short_gives_the_frames_that_are_there_or_says_so(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [i / 10 for i in range(20)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])  # faststart: the index is in front
    shots = []
    with suppress(DataError), open_source(path) as source:
        shots.extend(source)
    assert len(shots) < 20


def test_a_camera_that_is_not_there_is_one_quiet_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CaptureError, match="camera 77 cannot be opened"), open_source(77):
        pass
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    with pytest.raises(DataError, match="cannot be read"):
        list_pictures(tmp_path)
    tmp_path.chmod(0o700)
