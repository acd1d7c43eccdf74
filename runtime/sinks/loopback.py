"""The writing side of a virtual camera on Linux (v4l2loopback): frames as I420, which every meeting program reads.

Written directly, without pyvirtualcam: there is nothing to compile or install on a board.
"""

from __future__ import annotations

import ctypes as c
import errno
import os
from pathlib import Path

from edgeseg.errors import OutputError
from edgeseg.runtime.arrays import Frame
from edgeseg.runtime.capture import v4l2
from edgeseg.runtime.capture.openers import open_counts, who_opens
from edgeseg.runtime.sinks.video_file import to_i420

if os.name == "posix":
    from fcntl import ioctl

FOURCC = "YU12"
REMEDY = "run: sudo modprobe v4l2loopback exclusive_caps=1 card_label=edgeseg"
FIELD_NONE, SRGB = 1, 8


class Loopback:
    """The v4l2loopback device at `path`, taken for frames of `size_hw` (made even). OutputError where it cannot be had."""

    def __init__(self, path: Path, size_hw: tuple[int, int], fps: float) -> None:
        self.path = path
        self._size_hw = size_hw[0] + size_hw[0] % 2, size_hw[1] + size_hw[1] % 2
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise self._refused(error) from None
        try:
            self._set(fps)
        except OSError as error:
            self.close()
            raise self._refused(error) from None
        except BaseException:
            self.close()
            raise

    def _set(self, fps: float) -> None:
        height, width = self._size_hw
        form = v4l2.Format(type=v4l2.OUTPUT)
        pix = form.of.pix
        pix.width, pix.height, pix.fourcc, pix.field = width, height, v4l2.fourcc_of(FOURCC), FIELD_NONE
        pix.stride, pix.size_bytes, pix.colorspace = width, width * height * 3 // 2, SRGB
        ioctl(self._fd, v4l2.S_FMT, form)
        if (pix.width, pix.height, pix.fourcc) != (width, height, v4l2.fourcc_of(FOURCC)):
            # The driver answers with the format that it is held at, rather than with an error.
            others = ", ".join(who_opens(self.path)) or "another program"
            raise OutputError(
                f"virtual camera {self.path} is held at {pix.height}x{pix.width} {v4l2.fourcc_text(pix.fourcc)} by {others}; "
                f"end that first, or use --size {pix.height}x{pix.width}"
            )
        rate = v4l2.StreamParameters(type=v4l2.OUTPUT)
        rate.interval.numerator, rate.interval.denominator = 1000, max(1, round(1000 * fps))
        try:
            ioctl(self._fd, v4l2.S_PARM, rate)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTTY):
                raise

        self._announce()

    def _announce(self) -> None:
        """Say that we are who writes. Without it v4l2loopback 0.12 takes no other writer after us (its issue 470). From 0.13 on
        a writer without buffers of its own need not say so, and is refused.
        """
        try:
            ioctl(self._fd, v4l2.STREAMON, c.c_int(v4l2.OUTPUT))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTTY):
                raise

    def write(self, frame: Frame) -> None:
        """Show `frame`. It does not wait for readers. OutputError where the device is gone."""
        try:
            os.write(self._fd, to_i420(frame, self._size_hw).data)
        except OSError as error:
            raise OutputError(f"virtual camera {self.path} takes no frames: {error.strerror}") from None

    def close(self) -> None:
        os.close(self._fd)

    def _refused(self, error: OSError) -> OutputError:
        if error.errno in (errno.EACCES, errno.EPERM):
            why = "you are not in group video; run: sudo usermod -aG video $USER, then log in again"
        elif error.errno == errno.EBUSY:
            why = f"it is in use by {', '.join(who_opens(self.path)) or 'another program'}; end that first"
        elif error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            why = f"there is no such device; {REMEDY}"
        else:
            why = f"{error.strerror}; is it a v4l2loopback device? {REMEDY}"
        return OutputError(f"virtual camera {self.path} cannot be opened: {why}")


def find_loopback(dev: Path = Path("/dev"), proc: Path = Path("/proc")) -> Path | None:
    """The virtual camera to write to: of those that nobody feeds one labelled edgeseg, else the first; None if there is none.

    After a program has ended some versions of v4l2loopback leave a device that says it takes nothing, though it does: only one
    that a program has open as well is being fed.
    """

    def rank(device: v4l2.Device) -> tuple[bool, bool, bool]:
        fed = not device.takes and bool(open_counts(device.path, proc))
        return fed, device.card != "edgeseg", not device.takes

    found = [device for device in v4l2.devices(dev) if device.is_loopback]
    return min(found, key=rank).path if found else None
