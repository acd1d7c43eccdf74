"""The result in a browser: who may see it, what they see, and that nobody who looks can hold up the pipeline."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeseg.errors import OutputError, UsageError
from edgeseg.runtime import Shot, open_source
from edgeseg.runtime.capture.clock_camera import BARS, colour_bars
from edgeseg.runtime.sinks import http_server, newest
from edgeseg.runtime.sinks.http_server import HttpSink, is_loopback, parse

TOKEN = "0123456789abcdef"
FRAME = np.full((48, 64, 3), (40, 90, 200), np.uint8)


@contextmanager
def fed(sink: HttpSink, frame: np.ndarray = FRAME, notice: str = "") -> Iterator[None]:
    """Some fifty frames a second go into an open sink."""
    stop = threading.Event()

    def feed() -> None:
        while not stop.wait(0.02):
            sink.write(Shot(frame, 0.0, notice=notice))

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def feeding(sink: HttpSink, frame: np.ndarray = FRAME, notice: str = "") -> Iterator[HttpSink]:
    with sink, fed(sink, frame, notice):
        yield sink


def get(sink: HttpSink, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080, None)),
        ("http://127.0.0.1", ("127.0.0.1", 8080, None)),
        ("http://localhost:9000/", ("localhost", 9000, None)),
        ("http://[::1]:8081", ("::1", 8081, None)),
        (f"http://0.0.0.0:8080/?token={TOKEN}", ("0.0.0.0", 8080, TOKEN)),
        (f"http://127.0.0.1:8080/?token={TOKEN}", ("127.0.0.1", 8080, TOKEN)),
        ("http://0.0.0.0:8080", "whole network; set a token: EDGESEG_HTTP_TOKEN="),
        ("http://192.168.1.5:8080", "whole network"),
        ("http://[::]:8080", "whole network"),
        ("http://my-pi.local:8080", "whole network"),
        ("http://127.0.0.1.evil.org:8080", "whole network"),
        ("http://0.0.0.0:8080/?token=short", "5 characters"),
        ("https://127.0.0.1:8080", "no address to serve at"),
        ("http://127.0.0.1:8080/room", "no address to serve at"),
        ("http://:8080", "no address to serve at"),
        ("http://127.0.0.1:notaport", "no address to serve at"),
        ("http://127.0.0.1:99999", "no address to serve at"),
        ("ftp://127.0.0.1", "no address to serve at"),
    ],
)
def test_where_it_may_be_served(address: str, expected: tuple[str, int, str | None] | str) -> None:
    if isinstance(expected, tuple):
        assert parse(address) == expected
    else:
        with pytest.raises(UsageError, match=expected) as caught:
            HttpSink(address)
        assert "\n" not in str(caught.value)


def test_the_token_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESEG_HTTP_TOKEN", TOKEN)
    assert parse("http://0.0.0.0:8080")[2] == TOKEN


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False), ("", False), ("x", False)],
)
def test_what_is_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_everything_that_is_served() -> None:
    with feeding(HttpSink("http://127.0.0.1:0", lambda: {"dropped": 3}), colour_bars((48, 64)), "camera gone") as sink:
        code, headers, body = get(sink, "/")
        assert (code, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert b"//" not in body  # nothing from elsewhere
        code, headers, body = get(sink, "/frame.jpg")
        assert (code, headers["Content-Type"]) == (200, "image/jpeg")
        picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(picture[24, 4::8].astype(int) - BARS).max() < 40
        code, headers, body = get(sink, "/status.json")
        state = json.loads(body)
        assert set(state) == {"frames", "fps", "size_hw", "notice", "viewers", "uptime_s", "dropped"}
        assert (state["size_hw"], state["notice"], state["dropped"], state["viewers"]) == ([48, 64], "camera gone", 3, 0)
        assert state["frames"] > 0
        for wrong in ("/etc/passwd", "/../x", "/stream.mjpg/x"):
            assert get(sink, wrong)[0] == 404


def test_who_is_sent_a_single_picture_is_no_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    viewers: list[int] = []
    send = http_server._Handler._send

    def watched(handler: http_server._Handler, *answer: Any) -> None:
        viewers.append(handler.server.sink.newest.waiting)
        send(handler, *answer)

    monkeypatch.setattr(http_server._Handler, "_send", watched)
    with feeding(HttpSink("http://127.0.0.1:0")) as sink:
        assert get(sink, "/frame.jpg")[0] == 200
    assert viewers == [0]


def test_a_name_that_was_led_here_from_elsewhere_is_refused() -> None:
    with HttpSink("http://127.0.0.1:0") as sink:
        assert get(sink, "/status.json", Host="evil.example:8080")[0] == 403
        assert get(sink, "/status.json", Host="localhost:8080")[0] == 200
        assert get(sink, "/status.json", Host="[::1]:8080")[0] == 200


def test_with_a_token_nothing_is_shown_without_it() -> None:
    with feeding(HttpSink(f"http://127.0.0.1:0/?token={TOKEN}")) as sink:
        for path in ("/", "/stream.mjpg", "/frame.jpg", "/status.json", "/none"):
            assert get(sink, path)[0] == 401
            assert get(sink, f"{path}?token={TOKEN}x")[0] == 401
            assert get(sink, path, Authorization="Bearer ÿ")[0] == 401
        assert get(sink, f"/frame.jpg?token={TOKEN}")[0] == 200
        assert get(sink, "/frame.jpg", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert TOKEN.encode() not in get(sink, f"/?token={TOKEN}")[2]


def test_the_stream_is_one_that_our_own_source_reads() -> None:
    with feeding(HttpSink("http://127.0.0.1:0")) as sink:
        with open_source(f"http://127.0.0.1:{sink.port}/stream.mjpg") as source:
            frames = [shot.frame for shot, _ in zip(source, range(3), strict=False)]
            assert sink.watched()
        assert np.abs(frames[-1].astype(int) - FRAME).max() <= 6
        end_s = time.monotonic() + 10
        while sink.newest.waiting:  # a viewer that has left is noticed
            assert time.monotonic() < end_s
            time.sleep(0.01)


def test_a_viewer_that_takes_nothing_holds_nobody_up() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    with HttpSink("http://127.0.0.1:0") as sink, socket.create_connection(("127.0.0.1", sink.port)) as stuck:
        stuck.sendall(b"GET /stream.mjpg HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        while not sink.newest.waiting:
            time.sleep(0.01)
        started_s = time.monotonic()
        for index in range(100):  # 20 MB, of which the socket takes a part
            sink.write(Shot(noise, index / 30))
        assert time.monotonic() - started_s < 5
        with fed(sink, noise):
            assert get(sink, "/frame.jpg")[0] == 200  # and others are served


def test_a_frame_is_compressed_once_for_all_and_not_at_all_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    encode = cv2.imencode
    monkeypatch.setattr(newest.cv2, "imencode", lambda *a: (calls.append(1), encode(*a))[1])
    latest = newest.Newest()
    for _ in range(5):
        latest.put(FRAME)
    assert calls == []
    viewers = [latest.jpegs() for _ in range(3)]
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda v=v: got.append(next(v))) for v in viewers]
    for thread in threads:
        thread.start()
    while latest.waiting < 3:
        time.sleep(0.005)
    latest.put(FRAME)
    for thread in threads:
        thread.join()
    assert len(got) == 3
    assert len(calls) == 1


def test_the_newest_frame_wins_and_the_callers_frame_may_change() -> None:
    latest = newest.Newest()
    viewer, first, frame = latest.jpegs(), [], FRAME.copy()
    thread = threading.Thread(target=lambda: first.append(next(viewer)))
    thread.start()
    while not latest.waiting:
        time.sleep(0.005)
    latest.put(frame)
    thread.join()
    for value in (10, 20, 30):
        frame[:] = value
        latest.put(frame)
    frame[:] = 99
    shown = cv2.imdecode(np.frombuffer(next(viewer), np.uint8), cv2.IMREAD_COLOR)
    assert abs(int(shown[5, 5, 0]) - 30) <= 2
    latest.end()
    assert list(viewer) == []


def test_too_many_viewers_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeseg.runtime.sinks.http_server.VIEWERS", 1)
    with feeding(HttpSink("http://127.0.0.1:0")) as sink, socket.create_connection(("127.0.0.1", sink.port)) as first:
        first.sendall(b"GET /stream.mjpg HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        assert first.recv(12) == b"HTTP/1.0 200"
        assert get(sink, "/stream.mjpg")[0] == 503


def test_before_there_is_a_picture_there_is_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpSink("http://127.0.0.1:0") as sink:
        assert json.loads(get(sink, "/status.json")[2])["frames"] == 0
        assert sink.watched()
        sink._asked_s -= 60
        assert not sink.watched()


def test_a_port_that_is_taken_is_one_line() -> None:
    with HttpSink("http://127.0.0.1:0") as first, pytest.raises(OutputError, match="choose another port"):
        HttpSink(f"http://127.0.0.1:{first.port}").__enter__()


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to show the page in")
def test_chromium_shows_the_picture_and_the_state(tmp_path: Path) -> None:
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync"
    shot = tmp_path / "shot.png"
    with feeding(HttpSink("http://127.0.0.1:0"), colour_bars((360, 640)), "hello") as sink:
        command = [
            str(CHROMIUM),
            *flags.split(),
            "--disable-sync",
            f"--user-data-dir={tmp_path}/profile",
            "--window-size=800,900",
        ]
        for wait_ms in (2000, 20_000):  # the page never ends loading; on a busy machine two seconds may not be enough for it
            wanted = [f"--timeout={wait_ms}", f"--screenshot={shot}", f"http://127.0.0.1:{sink.port}/"]
            subprocess.run([*command, *wanted], check=True, capture_output=True, timeout=90)
            page = cv2.imread(str(shot))
            if page[200, 400].min() < 255:
                break
    picture = page[16:448, 16:784]  # 768 wide, behind a margin of 16
    middles = picture[200, 48::96].astype(int)
    assert np.abs(middles - BARS).max() < 40
    below = page[480:700, 16:784]
    assert (below.max(axis=2) > 150).sum() > 300  # letters
