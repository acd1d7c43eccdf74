"""The synthetic camera: bars in their colours, a clock that can be read after scaling, compression and blur."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.runtime import Blur, NullSession, Shot, VideoSink, open_source
from edgeseg.runtime.capture.clock_camera import BARS, ClockCamera, colour_bars, paint_clock, read_clock


@settings(deadline=None)  # machines differ
@given(st.integers(0, 2**40), st.sampled_from([(180, 320), (480, 640), (720, 1280), (1280, 720)]))
def test_the_clock_is_read_as_it_was_painted(time_ms: int, size_hw: tuple[int, int]) -> None:
    frame = np.zeros((*size_hw, 3), np.uint8)
    paint_clock(frame, time_ms)
    assert read_clock(frame) == time_ms % 2**20


def test_it_survives_half_the_size_jpeg_and_the_blur() -> None:
    frame = colour_bars((720, 1280))
    paint_clock(frame, 123_456)
    small = cv2.resize(frame, (640, 360), interpolation=cv2.INTER_AREA)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    with Blur(NullSession(), strength=1.0) as blur:
        assert read_clock(blur(jpeg)) == 123_456


def test_it_survives_a_video_file(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "a.mp4", (180, 320), 30) as sink:
        for index in range(3):
            frame = colour_bars((180, 320))
            paint_clock(frame, 1000 * index)
            sink.write(Shot(frame, index / 30))
    with open_source(tmp_path / "a.mp4") as source:
        assert [read_clock(shot.frame) for shot in source] == [0, 1000, 2000]


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_frame_without_a_clock_has_none(value: int) -> None:
    assert read_clock(np.full((180, 320, 3), value, np.uint8)) is None
    assert read_clock(np.full((1, 1, 3), value, np.uint8)) is None


def test_the_bars_are_eight_of_equal_width() -> None:
    bars = colour_bars((3, 80))
    assert [tuple(int(v) for v in bars[1, x]) for x in range(4, 80, 10)] == list(BARS)
    assert colour_bars((1, 1)).shape == (1, 1, 3)


def test_it_runs_in_real_time_and_shows_it() -> None:
    start_s = time.monotonic()
    with ClockCamera((180, 320), fps=50, frames=6) as source:
        shots = list(source)
    assert time.monotonic() - start_s >= 5 / 50
    assert [shot.time_s for shot in shots] == pytest.approx([i / 50 for i in range(6)])
    read = [read_clock(shot.frame) for shot in shots]
    assert None not in read
    assert 85 <= (read[-1] - read[0]) % 2**20 <= 400  # type: ignore[operator]


def test_a_slow_consumer_loses_frames_and_gains_no_delay() -> None:
    with ClockCamera((180, 320), fps=100) as source:
        shots = iter(source)
        next(shots)
        time.sleep(0.1)
        late = next(shots)
        assert source.frames is None
    now_ms = round(1000 * time.monotonic())
    assert (now_ms - (read_clock(late.frame) or 0)) % 2**20 < 60
    assert source.dropped >= 8
    assert len(list(itertools.islice(source, 2))) == 2
