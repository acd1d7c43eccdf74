"""What the kernel tells of its cameras (Video4Linux2): which there are, what they are called, which sizes and rates they have.

OpenCV does not tell which formats a camera has. The structures are those of linux/videodev2.h; ctypes gives them the layout of
the machine at hand.
"""

from __future__ import annotations

import ctypes as c
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg.errors import CaptureError

if os.name == "posix":
    from fcntl import ioctl

CAPTURE, OUTPUT = 1, 2  # v4l2_buf_type
CAP_CAPTURE, CAP_OUTPUT, CAP_STREAMING, CAP_DEVICE_CAPS = 0x1, 0x2, 0x0400_0000, 0x8000_0000
DISCRETE = 1  # v4l2_frmsizetypes, v4l2_frmivaltypes
STANDARD_SIZES = ((480, 640), (540, 960), (720, 1280), (1080, 1920))  # asked of cameras that scale to any size

_U32 = c.c_uint32


class Capability(c.Structure):
    _fields_ = (
        *(("driver", c.c_char * 16), ("card", c.c_char * 32), ("bus", c.c_char * 32)),
        *(("version", _U32), ("capabilities", _U32), ("device_caps", _U32), ("reserved", _U32 * 3)),
    )


class FormatDescription(c.Structure):
    _fields_ = (
        *(("index", _U32), ("type", _U32), ("flags", _U32), ("description", c.c_char * 32), ("fourcc", _U32)),
        *(("mbus_code", _U32), ("reserved", _U32 * 3)),
    )


class FrameSizes(c.Structure):
    """`numbers` is width, height if discrete, else least, greatest and step of the width, then of the height."""

    _fields_ = (("index", _U32), ("fourcc", _U32), ("type", _U32), ("numbers", _U32 * 6), ("reserved", _U32 * 2))


class FrameIntervals(c.Structure):
    """`numbers` begins with numerator and denominator of the interval; of the shortest one, if it is not discrete."""

    _fields_ = (
        *(("index", _U32), ("fourcc", _U32), ("width", _U32), ("height", _U32), ("type", _U32)),
        *(("numbers", _U32 * 6), ("reserved", _U32 * 2)),
    )


class Fraction(c.Structure):
    _fields_ = (("numerator", _U32), ("denominator", _U32))


class PixelFormat(c.Structure):
    _fields_ = (
        *(("width", _U32), ("height", _U32), ("fourcc", _U32), ("field", _U32), ("stride", _U32), ("size_bytes", _U32)),
        *(
            ("colorspace", _U32),
            ("priv", _U32),
            ("flags", _U32),
            ("encoding", _U32),
            ("quantisation", _U32),
            ("transfer", _U32),
        ),
    )


class _FormatUnion(c.Union):
    _fields_ = (("pix", PixelFormat), ("raw", c.c_uint8 * 200), ("aligned", c.c_void_p))  # others of the union hold pointers


class Format(c.Structure):
    _fields_ = (("type", _U32), ("of", _FormatUnion))


class StreamParameters(c.Structure):
    _fields_ = (
        *(("type", _U32), ("capability", _U32), ("mode", _U32), ("interval", Fraction)),
        *(("extended", _U32), ("buffers", _U32), ("rest", c.c_uint8 * 176)),
    )


def request(direction: int, number: int, structure: type[Any]) -> int:
    """The number of an ioctl, as linux/ioctl.h composes it."""
    return direction << 30 | c.sizeof(structure) << 16 | ord("V") << 8 | number


READ, WRITE = 2, 1
QUERYCAP = request(READ, 0, Capability)
ENUM_FMT = request(READ | WRITE, 2, FormatDescription)
G_FMT = request(READ | WRITE, 4, Format)
S_FMT = request(READ | WRITE, 5, Format)
STREAMON = request(WRITE, 18, c.c_int)
S_PARM = request(READ | WRITE, 22, StreamParameters)
ENUM_FRAMESIZES = request(READ | WRITE, 74, FrameSizes)
ENUM_FRAMEINTERVALS = request(READ | WRITE, 75, FrameIntervals)


@dataclass(frozen=True)
class Device:
    """A video node of the kernel's."""

    path: Path  # /dev/videoN
    card: str  # as its maker calls it
    driver: str
    captures: bool  # gives frames
    takes: bool  # takes frames: a virtual camera's other side

    @property
    def is_loopback(self) -> bool:
        """Whether it is a virtual camera (v4l2loopback), which shows what a program gives it."""
        return self.driver == "v4l2 loopback"


@dataclass(frozen=True)
class Mode:
    """What a camera can be asked for. `fps` is None where the driver does not say."""

    fourcc: str
    size_hw: tuple[int, int]
    fps: float | None


def fourcc_of(text: str) -> int:
    return int.from_bytes(text.encode("latin1"), "little")


def fourcc_text(number: int) -> str:
    return number.to_bytes(4, "little").decode("latin1")


def describe(path: Path) -> Device | None:
    """What `path` is, or None where it is no video node or may not be opened."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        told = Capability()
        ioctl(fd, QUERYCAP, told)
    except OSError:
        return None
    finally:
        os.close(fd)
    caps = told.device_caps if told.capabilities & CAP_DEVICE_CAPS else told.capabilities
    card, driver = (text.decode(errors="replace").strip() for text in (told.card, told.driver))
    return Device(path, card, driver, bool(caps & CAP_CAPTURE), bool(caps & CAP_OUTPUT))


def devices(dev: Path = Path("/dev")) -> list[Device]:
    """Every video node that may be opened, by number. A webcam has two: one gives frames, the other only their times."""
    nodes = sorted((p for p in dev.glob("video*") if p.name[5:].isdecimal()), key=lambda p: int(p.name[5:]))
    return [device for node in nodes if (device := describe(node))]


def stable_names(dev: Path = Path("/dev")) -> dict[Path, str]:
    """/dev/videoN -> its name under /dev/v4l/by-id, which stays the same when numbers change."""
    names: dict[Path, str] = {}
    for kind in ("by-path", "by-id"):  # the latter, if there are both
        folder = dev / "v4l" / kind
        if folder.is_dir():
            names.update({link.resolve(): str(link) for link in sorted(folder.iterdir(), reverse=True)})
    return names


def find(name: str, dev: Path = Path("/dev")) -> Path:
    """The video node that `name` means: a number, a path, a name under /dev/v4l/by-id, or an unmistakable part of one or of
    the camera's own name. CaptureError, with the cameras there are, for any other."""
    if name.isdecimal():
        return dev / f"video{int(name)}"
    if name.startswith("/"):
        return Path(name)
    by_name = {Path(link).name: node for node, link in stable_names(dev).items()}
    if name in by_name:
        return by_name[name]
    cameras = [device for device in devices(dev) if device.captures]
    known = {device.path: {device.card} for device in cameras}
    for link, node in by_name.items():
        if node in known:
            known[node].add(link)
    found = [node for node, names in known.items() if any(name.lower() in text.lower() for text in names)]
    if len(found) == 1:
        return found[0]
    what = "fits several cameras" if found else "is no camera here"
    there = ", ".join(f"{device.path} ({device.card})" for device in cameras) or "none"
    raise CaptureError(f"{name!r} {what}; there are: {there}; give a number, a path or a name of /dev/v4l/by-id")


def enumerate_by_index(fd: int, request: int, structure: Any) -> Iterator[Any]:
    """Ask for entry 0, 1, 2 ... of `structure` (whose other fields say of what) until the driver says that it was the last."""
    kind = type(structure)
    for index in range(256):  # no driver has more; one that never ends must not hang us
        entry = kind.from_buffer_copy(structure)
        entry.index = index
        try:
            ioctl(fd, request, entry)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY, errno.ENODATA):
                return
            raise
        yield entry


def modes(fd: int, wanted_hw: tuple[int, int] | None = None) -> list[Mode]:
    """Every format, size and highest rate of an open camera, in the driver's order.

    wanted_hw  is tried, beside common sizes, on cameras that scale to any size
    """
    found = []
    for description in enumerate_by_index(fd, ENUM_FMT, FormatDescription(type=CAPTURE)):
        for sizes in enumerate_by_index(fd, ENUM_FRAMESIZES, FrameSizes(fourcc=description.fourcc)):
            for height, width in _sizes(sizes, wanted_hw):
                asked = FrameIntervals(fourcc=description.fourcc, width=width, height=height)
                rates = []
                for told in enumerate_by_index(fd, ENUM_FRAMEINTERVALS, asked):
                    rates += [told.numbers[1] / told.numbers[0]] if told.numbers[0] else []
                    if told.type != DISCRETE:
                        break  # one answer holds all
                found.append(Mode(fourcc_text(description.fourcc), (height, width), max(rates, default=None)))
            if sizes.type != DISCRETE:
                break
    return found


def formats(path: Path) -> list[str]:
    """The formats of the camera at `path`, as four letters each; none where it cannot be opened."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        return [fourcc_text(f.fourcc) for f in enumerate_by_index(fd, ENUM_FMT, FormatDescription(type=CAPTURE))]
    except OSError:
        return []
    finally:
        os.close(fd)


def _sizes(sizes: FrameSizes, wanted_hw: tuple[int, int] | None) -> list[tuple[int, int]]:
    if sizes.type == DISCRETE:
        return [(sizes.numbers[1], sizes.numbers[0])]
    least_w, most_w, step_w, least_h, most_h, step_h = sizes.numbers
    asked = dict.fromkeys((*([wanted_hw] if wanted_hw else []), *STANDARD_SIZES))
    return [
        (h, w)
        for h, w in asked
        if least_h <= h <= most_h and least_w <= w <= most_w
        if (h - least_h) % max(1, step_h) == 0 and (w - least_w) % max(1, step_w) == 0
    ]
