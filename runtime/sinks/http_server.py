"""The result in a browser, for boards without a screen: an MJPEG stream, single pictures, and a small page with the state.

The newest frame wins: each viewer has a thread, takes what is newest when it is ready, and never holds up the pipeline. A frame
is compressed once for all viewers, and not at all where there are none.

On the loopback interface it is open to this machine's users and to nobody else; a name that leads here from elsewhere (DNS
rebinding) is refused. On any other interface it takes a token.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from edgeseg.errors import OutputError, UsageError
from edgeseg.runtime.arrays import Shot
from edgeseg.runtime.sinks.http_page import page
from edgeseg.runtime.sinks.newest import Newest

DEFAULT_PORT = 8080
TOKEN_VARIABLE = "EDGESEG_HTTP_TOKEN"
LEAST_TOKEN = 16  # characters
CLIENT_TIMEOUT_S = 10.0  # a viewer that takes nothing for so long is let go
VIEWERS = 8  # at once
LINGER_S = 3.0  # after the last request the page counts as watched for so long


class HttpSink:
    """The web server of "http://HOST:PORT[/?token=TOKEN]". See `sinks.Sink`. UsageError where it would be open to a network.

    status  adds to what /status.json tells
    """

    reopens = True

    def __init__(self, address: str, status: Callable[[], dict[str, Any]] = dict) -> None:
        self.host, self.port, self._token = parse(address)
        self._status = status

    def __enter__(self) -> HttpSink:
        self.newest = Newest()
        self.frames = 0
        self._start_s = self._asked_s = time.monotonic()
        self._asked_s -= LINGER_S
        self._times: list[float] = []
        self._notice, self._size_hw = "", (0, 0)
        self._viewers = threading.BoundedSemaphore(VIEWERS)
        try:
            self._server = _Server(self.host, self.port, self)
        except OSError as error:
            raise OutputError(
                f"http://{self.host}:{self.port} cannot be served: {error.strerror}; choose another port"
            ) from None
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="edgeseg-http", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.newest.end()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)

    def write(self, shot: Shot) -> bool:
        self.frames += 1
        self._times = [*self._times[-29:], time.monotonic()]
        self._notice, self._size_hw = shot.notice, (shot.frame.shape[0], shot.frame.shape[1])
        self.newest.put(shot.frame)
        return True

    def watched(self) -> bool:
        """Whether a browser shows it, or asked for something just now."""
        return self.newest.waiting > 0 or time.monotonic() - self._asked_s < LINGER_S

    def allows(self, request: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> str | None:
        """Why `request` is refused, or None."""
        if self._token is None:
            name = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
            return None if is_loopback(name) else "this page is for this machine alone"
        given = (query.get("token") or [""])[0] or request.headers.get("Authorization", "").removeprefix("Bearer ")
        return None if hmac.compare_digest(given.encode(), self._token.encode()) else "a token is needed: /?token=TOKEN"

    def asked(self) -> None:
        self._asked_s = time.monotonic()

    def viewer(self) -> Any:
        """Entered for as long as somebody looks; None where too many do."""
        return self._viewers if self._viewers.acquire(blocking=False) else None

    def status(self) -> dict[str, Any]:
        """What /status.json tells."""
        times = self._times
        fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0
        return {
            "frames": self.frames,
            "fps": round(fps, 1),
            "size_hw": list(self._size_hw),
            "notice": self._notice,
            "viewers": self.newest.waiting,
            "uptime_s": round(time.monotonic() - self._start_s),
            **self._status(),
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, sink: HttpSink) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sink = sink
        super().__init__((host, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # viewers come and go
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_TIMEOUT_S
    server: _Server
    HEADERS: ClassVar = {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",  # the address may hold the token
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }

    def do_GET(self) -> None:
        sink, place = self.server.sink, urlsplit(self.path)
        refused = sink.allows(self, parse_qs(place.query))
        answers = {"/": self._page, "/stream.mjpg": self._stream, "/frame.jpg": self._picture, "/status.json": self._state}
        if refused is not None:
            self._send(401 if sink._token else 403, "text/plain", refused.encode())
        elif place.path not in answers:
            self._send(404, "text/plain", b"there is: / /stream.mjpg /frame.jpg /status.json")
        else:
            sink.asked()
            answers[place.path]()

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(12)
        policy = (
            f"default-src 'none'; img-src 'self'; connect-src 'self'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'"
        )
        self._send(200, "text/html; charset=utf-8", page(nonce), {"Content-Security-Policy": policy})

    def _state(self) -> None:
        self._send(200, "application/json", json.dumps(self.server.sink.status()).encode())

    def _picture(self) -> None:
        with closing(self.server.sink.newest.jpegs(patience_s=5.0)) as jpegs:  # whoever has it is no viewer any more
            jpeg = next(jpegs, None)
        if jpeg is None:
            self._send(503, "text/plain", b"there is no picture yet")
        else:
            self._send(200, "image/jpeg", jpeg)

    def _stream(self) -> None:
        viewer = self.server.sink.viewer()
        if viewer is None:
            self._send(503, "text/plain", b"too many viewers")
            return
        try:
            self._head(200, {"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
            for jpeg in self.server.sink.newest.jpegs():
                head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                self.wfile.write(head + jpeg + b"\r\n")
        finally:
            viewer.release()

    def _send(self, code: int, kind: str, body: bytes, more: dict[str, str] | None = None) -> None:
        self._head(code, {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})})
        with suppress(OSError):
            self.wfile.write(body)

    def _head(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**self.HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def version_string(self) -> str:
        return "edgeseg"

    def log_message(self, *_: object) -> None:
        pass


def parse(address: str) -> tuple[str, int, str | None]:
    """(host, port, token) of an address; the token may be in the environment. UsageError where a network would see the room."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port if parts.port is not None else DEFAULT_PORT
    except ValueError:
        host, parts, port = "", urlsplit(""), 0
    if not host or parts.scheme != "http" or parts.path not in ("", "/"):
        raise UsageError(f"output {address!r} is no address to serve at; write http://127.0.0.1:{DEFAULT_PORT}")
    token = (parse_qs(parts.query).get("token") or [""])[0] or os.environ.get(TOKEN_VARIABLE) or None
    if token is None and not is_loopback(host):
        raise UsageError(
            f"http://{host}:{port} would show the camera to the whole network; set a token: "
            f"{TOKEN_VARIABLE}={secrets.token_urlsafe(16)} edgeseg blur ..., and open http://{host}:{port}/?token=..."
        )
    if token is not None and len(token) < LEAST_TOKEN:
        raise UsageError(f"the token has {len(token)} characters; {LEAST_TOKEN} at least cannot be guessed")
    return host, port, token


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine alone, by its name or number."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
