"""A webcam by the kernel's own interface (Video4Linux2): its frames mapped into memory, the newest decoded.

Read this way rather than by OpenCV, which does not say why a camera cannot be opened, waits ten seconds for one that is
unplugged, and takes whichever format the driver names first.
"""

from __future__ import annotations

import ctypes as c
import errno
import mmap
import os
import select
import time
from pathlib import Path

import numpy as np

from edgeseg.errors import CameraBusyError, CaptureError
from edgeseg.runtime.arrays import Frame
from edgeseg.runtime.capture import v4l2
from edgeseg.runtime.capture.camera_modes import rank
from edgeseg.runtime.capture.live import Captured
from edgeseg.runtime.capture.openers import who_opens
from edgeseg.runtime.capture.pixels import to_bgr

if os.name == "posix":
    from fcntl import ioctl

MEMORY_MMAP = 1
BUFFERS = 4  # one being filled, one being decoded, and two that wait
DAMAGED = 0x40  # V4L2_BUF_FLAG_ERROR
MONOTONIC = 0x2000  # V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC

_U32 = c.c_uint32


class RequestBuffers(c.Structure):
    _fields_ = (("count", _U32), ("type", _U32), ("memory", _U32), ("capabilities", _U32), ("flags", _U32))


class _Time(c.Structure):
    _fields_ = (("seconds", c.c_long), ("microseconds", c.c_long))


class _Where(c.Union):
    _fields_ = (("offset", _U32), ("pointer", c.c_ulong))


class Buffer(c.Structure):
    _fields_ = (
        *(("index", _U32), ("type", _U32), ("bytes_used", _U32), ("flags", _U32), ("field", _U32), ("time", _Time)),
        *(("timecode", c.c_uint8 * 16), ("sequence", _U32), ("memory", _U32), ("at", _Where), ("length", _U32)),
        *(("reserved", _U32), ("request", _U32)),
    )


REQBUFS = v4l2.request(v4l2.READ | v4l2.WRITE, 8, RequestBuffers)
QUERYBUF = v4l2.request(v4l2.READ | v4l2.WRITE, 9, Buffer)
QBUF = v4l2.request(v4l2.READ | v4l2.WRITE, 15, Buffer)
DQBUF = v4l2.request(v4l2.READ | v4l2.WRITE, 17, Buffer)
STREAMOFF = v4l2.request(v4l2.WRITE, 19, c.c_int)


class V4l2Camera:
    """The webcam at `path`, streaming. See `live.Camera`.

    size_hw  (height, width) asked for; the nearest that the camera has is taken. None: 720p, or less where that is slow
    fps      frames a second asked for

    Raises CaptureError, which says why: it does not exist, is not yours, is in use, gives no pictures.
    """

    def __init__(self, path: Path, size_hw: tuple[int, int] | None, fps: float, name: str | None = None) -> None:
        self._name = name or str(path)
        self._maps: list[mmap.mmap] = []
        self._fd = -1
        self._taken = 0.0
        self.passed_over = 0
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            self._start(path, size_hw, fps)
        except OSError as error:
            self.close()
            raise self._explained(path, error) from None
        except BaseException:
            self.close()
            raise

    def _start(self, path: Path, size_hw: tuple[int, int] | None, fps: float) -> None:
        told = v4l2.describe(path)
        if told is None or not told.captures:
            raise CaptureError(f"camera {self._name} cannot be opened: {path} gives no pictures; see: edgeseg doctor")
        modes = v4l2.modes(self._fd, size_hw)
        ranked = rank(modes, size_hw, fps)
        if not ranked:
            formats = ", ".join(dict.fromkeys(mode.fourcc for mode in modes)) or "none"
            hint = "; a virtual camera has none until a program feeds it" if told.is_loopback else ""
            raise CaptureError(
                f"camera {self._name} cannot be opened: it offers no format that edgeseg reads ({formats}){hint}"
            )
        for mode in ranked:
            self._set(mode, fps)
            try:
                self._stream()
                return
            except OSError as error:
                if error.errno != errno.ENOSPC or mode is ranked[-1]:  # the bus has no room: a more compressed mode may fit
                    raise
                self._release_buffers()

    def _set(self, mode: v4l2.Mode, fps: float) -> None:
        form = v4l2.Format(type=v4l2.CAPTURE)
        form.of.pix.width, form.of.pix.height = mode.size_hw[1], mode.size_hw[0]
        form.of.pix.fourcc, form.of.pix.field = v4l2.fourcc_of(mode.fourcc), 0
        ioctl(self._fd, v4l2.S_FMT, form)  # the driver answers with what it will really give
        pix = form.of.pix
        self.fourcc, self.size_hw, self._stride = v4l2.fourcc_text(pix.fourcc), (pix.height, pix.width), pix.stride
        self.fps = mode.fps or fps
        rate = v4l2.StreamParameters(type=v4l2.CAPTURE)
        rate.interval.numerator, rate.interval.denominator = 1000, max(1, round(1000 * fps))
        try:
            ioctl(self._fd, v4l2.S_PARM, rate)
            if rate.interval.numerator and rate.interval.denominator:
                self.fps = rate.interval.denominator / rate.interval.numerator
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTTY):  # cameras of one rate
                raise

    def _stream(self) -> None:
        request = RequestBuffers(count=BUFFERS, type=v4l2.CAPTURE, memory=MEMORY_MMAP)
        ioctl(self._fd, REQBUFS, request)
        for index in range(request.count):
            buffer = Buffer(index=index, type=v4l2.CAPTURE, memory=MEMORY_MMAP)
            ioctl(self._fd, QUERYBUF, buffer)
            self._maps.append(mmap.mmap(self._fd, buffer.length, offset=buffer.at.offset))
            ioctl(self._fd, QBUF, buffer)
        ioctl(self._fd, v4l2.STREAMON, c.c_int(v4l2.CAPTURE))

    def read(self, patience_s: float) -> Captured | None:
        """The newest frame, or None where none came within `patience_s`. CaptureError where the camera is gone."""
        until_s = time.monotonic() + patience_s
        while True:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return None
            try:
                ready, _, _ = select.select([self._fd], [], [], left_s)
                newest = self._newest() if ready else None
            except OSError as error:
                raise CaptureError(f"camera {self._name} is gone ({error.strerror})") from None
            if newest is None:
                # A node that is ready and has nothing is about to go, or is a virtual camera without a feed: never spin on it.
                time.sleep(min(0.01, max(0.0, left_s)) if ready else 0)
                continue
            frame = self._decoded(newest)
            if frame is not None:
                return Captured(frame, self._time_of(newest))

    def _newest(self) -> Buffer | None:
        """The last filled buffer; those before it go back unread."""
        newest = None
        while True:
            buffer = Buffer(type=v4l2.CAPTURE, memory=MEMORY_MMAP)
            try:
                ioctl(self._fd, DQBUF, buffer)
            except BlockingIOError:
                return newest
            if newest is not None:
                self.passed_over += 1
                ioctl(self._fd, QBUF, newest)
            newest = buffer

    def _decoded(self, buffer: Buffer) -> Frame | None:
        try:
            if buffer.flags & DAMAGED or not buffer.bytes_used or buffer.index >= len(self._maps):
                return None  # v4l2loopback has been seen to return buffers of another reader
            data = np.frombuffer(self._maps[buffer.index], np.uint8, count=buffer.bytes_used)
            return to_bgr(data, self.fourcc, self.size_hw, self._stride)
        finally:
            try:
                ioctl(self._fd, QBUF, buffer)
            except OSError as error:
                raise CaptureError(f"camera {self._name} is gone ({error.strerror})") from None

    def _time_of(self, buffer: Buffer) -> float:
        """When the frame was taken, by the monotonic clock; by when it came, where the driver keeps another clock."""
        stamp_s: float = buffer.time.seconds + buffer.time.microseconds / 1e6
        now_s = time.monotonic()
        self._taken = stamp_s if buffer.flags & MONOTONIC and 0 <= now_s - stamp_s < 1 and stamp_s > self._taken else now_s
        return self._taken

    def close(self) -> None:
        if self._fd < 0:
            return
        try:
            ioctl(self._fd, STREAMOFF, c.c_int(v4l2.CAPTURE))
        except OSError:  # it is unplugged, or had not begun
            pass
        finally:
            self._maps.clear()  # unmapped with their last view
            os.close(self._fd)
            self._fd = -1

    def _release_buffers(self) -> None:
        self._maps.clear()
        ioctl(self._fd, REQBUFS, RequestBuffers(count=0, type=v4l2.CAPTURE, memory=MEMORY_MMAP))

    def _explained(self, path: Path, error: OSError) -> CaptureError:
        kind: type[CaptureError] = CaptureError
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            there = ", ".join(f"{d.path} ({d.card})" for d in v4l2.devices() if d.captures) or "no camera is connected"
            why = f"{path} does not exist; there are: {there}"
        elif error.errno in (errno.EACCES, errno.EPERM):
            why = "you are not in group video; run: sudo usermod -aG video $USER, then log in again"
        elif error.errno == errno.EBUSY:
            kind = CameraBusyError
            others = ", ".join(who_opens(path)) or "another program"
            why = f"it is in use by {others}; end that first, or choose another camera"
        elif error.errno == errno.ENOSPC:
            why = "its bus has no room for another camera; plug it into another port, or choose a smaller --size"
        else:
            why = error.strerror or str(error)
        return kind(f"camera {self._name} cannot be opened: {why}; see: edgeseg doctor")
