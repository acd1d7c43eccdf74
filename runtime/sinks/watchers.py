"""Whether any program reads a virtual camera, so that the real one need not be on when none does. Works without root.

v4l2loopback from 0.13 on says so itself: its event V4L2_EVENT_PRI_CLIENT_USAGE counts the programs that stream. Older ones, as
in Debian 12 and Ubuntu 22.04, do not; there every opening and closing of the device is counted, by inotify.
"""

from __future__ import annotations

import ctypes as c
import os
import struct
import sys
import time
from pathlib import Path
from typing import Protocol

from edgeseg.runtime.capture import v4l2
from edgeseg.runtime.capture.openers import open_counts

if os.name == "posix":
    from fcntl import ioctl

ASK_EVERY_S = 0.25
OPENED, CLOSED = 0x20, 0x08 | 0x10  # linux/inotify.h: IN_OPEN, IN_CLOSE_WRITE | IN_CLOSE_NOWRITE
CLIENT_USAGE = 0x0800_0000 + 0x08E0_0000 + 1  # v4l2loopback.c: V4L2_EVENT_PRIVATE_START + its offset + 1
SEND_INITIAL = 1
_U32 = c.c_uint32


class Subscription(c.Structure):
    _fields_ = (("type", _U32), ("id", _U32), ("flags", _U32), ("reserved", _U32 * 5))


class Event(c.Structure):
    """`count` is the first number of what an event says; the union that it lies in holds 64-bit numbers."""

    _fields_ = (
        *(("type", _U32), ("_", _U32 if c.alignment(c.c_int64) == 8 else _U32 * 0), ("count", _U32), ("rest", c.c_uint8 * 60)),
        *(("pending", _U32), ("sequence", _U32), ("time", c.c_long * 2), ("id", _U32), ("reserved", _U32 * 8)),
    )


SUBSCRIBE_EVENT = v4l2.request(v4l2.WRITE, 90, Subscription)
DQEVENT = v4l2.request(v4l2.READ, 89, Event)


class Watchers(Protocol):
    """Counts who reads a device."""

    def count(self) -> int:
        """Programs that read it now. Cheap: to be asked several times a second."""

    def close(self) -> None: ...


def open_watchers(device: Path) -> Watchers | None:
    """A count for `device`, which this process has opened already and goes on holding; None where there is no way to tell."""
    if sys.platform != "linux":
        return None
    if told_by_driver(device) is not None:
        return DriverCount(device)
    try:
        return OpenCount(device)
    except OSError:
        return None


def told_by_driver(device: Path) -> int | None:
    """How many programs stream from a v4l2loopback device, by its own account; None where it gives none.

    A subscription by a new descriptor is answered with the present state, so that no event can be missed.
    """
    try:
        fd = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        ioctl(fd, SUBSCRIBE_EVENT, Subscription(type=CLIENT_USAGE, flags=SEND_INITIAL))
        event = Event()
        ioctl(fd, DQEVENT, event)
        return int(event.count) if event.type == CLIENT_USAGE else None
    except OSError:
        return None
    finally:
        os.close(fd)


class DriverCount:
    """By v4l2loopback's own account, asked a few times a second."""

    def __init__(self, device: Path) -> None:
        self._device = device
        self._asked_s = -1.0
        self._count = 0

    def count(self) -> int:
        now_s = time.monotonic()
        if now_s - self._asked_s > ASK_EVERY_S:
            self._asked_s, self._count = now_s, told_by_driver(self._device) or 0
        return self._count

    def close(self) -> None:
        pass


class OpenCount:
    """By openings and closings as inotify tells them, and by what /proc shows. OSError where there is no inotify.

    Neither is enough: inotify joins events that are alike (two closings at once are one), and /proc shows only what belongs to
    our user. So an event makes us look into /proc, and where that has shown nobody, the events are counted.
    """

    def __init__(self, device: Path, proc: Path = Path("/proc")) -> None:
        libc = c.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(c.get_errno(), "inotify_init1")
        if libc.inotify_add_watch(self._fd, os.fsencode(device), OPENED | CLOSED) < 0:
            os.close(self._fd)
            raise OSError(c.get_errno(), "inotify_add_watch")
        self._device, self._proc = device, proc
        self._balance = self._shown()
        self._seen = self._balance > 0  # whether those who read it are shown to us

    def count(self) -> int:
        changes = self._changes()
        if changes is not None:
            shown = self._shown()
            self._seen = self._seen or shown > 0
            self._balance = shown if self._seen else max(0, self._balance + changes)
            self._seen = self._seen and shown > 0
        return self._balance

    def _shown(self) -> int:
        return sum(n for pid, n in open_counts(self._device, self._proc).items() if pid != os.getpid())

    def _changes(self) -> int | None:
        """Openings less closings since the last call; None where there was neither."""
        total = None
        while True:
            try:
                data = os.read(self._fd, 4096)
            except BlockingIOError:
                return total
            at, total = 0, total or 0
            while at < len(data):
                _, mask, _, length = struct.unpack_from("iIII", data, at)  # struct inotify_event; a name of `length` follows
                total += bool(mask & OPENED) - bool(mask & CLOSED)
                at += 16 + length

    def close(self) -> None:
        os.close(self._fd)
