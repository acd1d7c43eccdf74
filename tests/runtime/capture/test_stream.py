"""Network streams, from servers on this machine: pictures come, a stall shows the card and is followed by a new connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import CaptureError
from edgeseg.runtime import Shot, VideoSink, open_source
from edgeseg.runtime.capture import live
from edgeseg.runtime.capture.live import Backoff
from edgeseg.runtime.capture.stream import Stream, is_stream, without_password
from tests.runtime.capture.stream_servers import Switch, file_server, mjpeg_server, rtsp_server, serving

FRAME = np.full((48, 64, 3), (40, 90, 200), np.uint8)


def wait_for(shots: Iterator[Shot], enough: Callable[[Shot], bool]) -> Shot:
    end_s = time.monotonic() + 20
    for shot in shots:
        if enough(shot):
            return shot
        assert time.monotonic() < end_s, "what was waited for did not come"
    raise AssertionError("a live stream has no end")


@pytest.mark.parametrize(("scheme", "make"), [("http", mjpeg_server), ("rtsp", rtsp_server)])
def test_a_stream_that_stalls_shows_the_card_and_is_opened_again(
    scheme: str, make: Callable[..., object], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "CARD_EVERY_S", 0.05)
    switch = Switch()
    said: list[str] = []
    with serving(make(switch, FRAME)) as place:  # type: ignore[arg-type]
        stream = Stream(f"{scheme}://{place}/cam", read_timeout_s=0.5, backoff=Backoff(0.05, 0.1), say=said.append)
        with stream:
            assert (stream.size_hw, stream.frames, stream.still) == ((48, 64), None, False)
            shots = iter(stream)
            first = wait_for(shots, lambda shot: not shot.notice)
            assert np.abs(first.frame.astype(int) - FRAME).max() <= 6
            switch.running.clear()
            card = wait_for(shots, lambda shot: bool(shot.notice))
            assert card.notice == "stream gone, waiting"
            switch.running.set()
            again = wait_for(shots, lambda shot: not shot.notice)
            assert again.time_s > card.time_s > first.time_s
            switch.cut.set()
    assert said[:2] == ["stream gone, waiting", "stream is back"]
    assert switch.connections >= 2
    assert capfd.readouterr().err == ""


def test_a_video_on_a_web_server_is_read_to_its_end_with_its_times(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.35, 0.36, 1.0]
    with VideoSink(tmp_path / "a.mp4", (48, 64), 10) as sink:
        for time_s in times:
            sink.write(Shot(FRAME, time_s))
    with (
        serving(file_server((tmp_path / "a.mp4").read_bytes(), "video/mp4")) as place,
        open_source(f"http://{place}/a.mp4") as source,
    ):
        assert (source.size_hw, source.frames) == ((48, 64), 5)
        assert [shot.time_s for shot in source] == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("rtsp://127.0.0.1:9/cam", "cannot be opened"),
        ("http://127.0.0.1:9/cam", "cannot be opened"),
        ("rtsp://user:secret@127.0.0.1:9/cam?token=abc", "rtsp://127.0.0.1:9/cam cannot be opened"),
    ],
)
def test_a_stream_that_is_not_there_is_one_line_without_its_password(
    url: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CaptureError, match=says) as caught, open_source(url):
        pass
    assert "\n" not in str(caught.value)
    assert not any(word in str(caught.value) for word in ("secret", "user", "abc"))
    assert capfd.readouterr().err == ""


def test_what_is_no_video_is_one_line() -> None:
    server = file_server(b"<html>hello</html>" * 50, "text/html")
    with serving(server) as place, pytest.raises(CaptureError, match="cannot be opened"), open_source(f"http://{place}/"):
        pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://10.0.0.5/stream1", True),
        ("HTTP://host:8080/video", True),
        ("https://host/clip.mp4", True),
        ("clip.mp4", False),
        ("/home/me/rtsp.mp4", False),
        ("rtsp://", False),
        ("file:///etc/passwd", False),
        ("concat:a|b", False),
    ],
)
def test_what_is_the_address_of_a_stream(text: str, expected: bool) -> None:
    assert is_stream(text) is expected


def test_a_password_is_not_shown() -> None:
    assert without_password("rtsp://me:pa@ss@cam.local:554/live?key=1") == "rtsp://cam.local:554/live"
    assert without_password("http://cam.local") == "http://cam.local"
