"""Small servers on the loopback interface: an RTSP camera and MJPEG over HTTP, which can be made to stall, and a file."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import cv2
import numpy as np


class Switch:
    """`running` lets frames out; cleared, every connection stays open and silent. `cut` ends them. Counts connections."""

    def __init__(self) -> None:
        self.running, self.cut = threading.Event(), threading.Event()
        self.running.set()
        self.connections = 0

    def wait(self) -> bool:
        """Whether to send a frame now; False where the connection should end."""
        while not self.running.wait(0.01):
            if self.cut.is_set():
                return False
        return not self.cut.is_set()


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[str]:
    """`host:port` of a server that runs for as long as the body."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    host, port = server.server_address[:2]  # type: ignore[misc]
    try:
        yield f"{host}:{port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def mjpeg_server(switch: Switch, frame: np.ndarray, every_s: float = 0.02) -> ThreadingHTTPServer:
    """http://.../: `frame` again and again as multipart JPEG, as network cameras send it."""
    jpeg = cv2.imencode(".jpg", frame)[1].tobytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            switch.connections += 1
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                while switch.wait():
                    head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                    self.wfile.write(head + jpeg + b"\r\n")
                    time.sleep(every_s)
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            pass

    return _quick(ThreadingHTTPServer(("127.0.0.1", 0), Handler))


def file_server(data: bytes, kind: str) -> ThreadingHTTPServer:
    """http://.../anything: `data`, whole, with its length."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return _quick(ThreadingHTTPServer(("127.0.0.1", 0), Handler))


def rtsp_server(switch: Switch, frame: np.ndarray, every_s: float = 0.02) -> socketserver.ThreadingTCPServer:
    """rtsp://.../: `frame` as H.264 in RTP over the same connection (RFC 2326, section 10.12; RFC 6184, section 5.6)."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            switch.connections += 1
            while (request := self._request()) is not None:
                method, sequence = request
                if method == "DESCRIBE":
                    sdp = (
                        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
                    )
                    sdp += "a=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
                    self._answer(sequence, "Content-Type: application/sdp", sdp)
                elif method == "SETUP":
                    self._answer(sequence, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1")
                else:
                    self._answer(sequence, "Session: 1\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
                if method == "PLAY":
                    self._play()
                    return

        def _request(self) -> tuple[str, str] | None:
            lines: list[str] = []
            while line := self.rfile.readline().decode("latin1").strip():
                lines.append(line)
            if not lines:
                return None
            return lines[0].split()[0], next(line.split(":")[1] for line in lines if line.lower().startswith("cseq"))

        def _answer(self, sequence: str, headers: str, body: str = "") -> None:
            text = f"RTSP/1.0 200 OK\r\nCSeq:{sequence}\r\n{headers}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            self.wfile.write(text.encode())

        def _play(self) -> None:
            encoder = av.CodecContext.create("libx264", "w")
            encoder.height, encoder.width, encoder.pix_fmt = *frame.shape[:2], "yuv420p"  # type: ignore[misc,attr-defined]
            encoder.time_base = Fraction(1, 50)
            encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
            number = index = 0
            try:
                while switch.wait():
                    picture = av.VideoFrame.from_ndarray(frame, format="bgr24")
                    picture.pts = index
                    for packet in encoder.encode(picture):  # type: ignore[attr-defined]
                        units = [unit for unit in bytes(packet).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]
                        for unit in units:
                            last = unit is units[-1]
                            rtp = struct.pack("!BBHII", 0x80, 96 | 0x80 * last, number & 0xFFFF, index * 1800, 7) + unit
                            self.wfile.write(struct.pack("!cBH", b"$", 0, len(rtp)) + rtp)
                            number += 1
                    index += 1
                    time.sleep(every_s)
            except OSError:
                pass

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    return _quick(Server(("127.0.0.1", 0), Handler))


def _quick(server: socketserver.BaseServer) -> object:
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.daemon_threads, server.block_on_close = True, False  # type: ignore[attr-defined]
    return server
