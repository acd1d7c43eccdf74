"""Live cameras: a webcam that may be unplugged and come back, and a synthetic one for tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from edgeseg.errors import CaptureError
from edgeseg.runtime.arrays import Alpha, Frame, Shot
from edgeseg.runtime.capture import v4l2
from edgeseg.runtime.capture.camera_modes import DEFAULT_HW, PREFERRED
from edgeseg.runtime.capture.live import PATIENCE_S, Backoff, Camera, LiveSource


class Webcam(LiveSource):
    """The camera that `name` means, by V4L2 on Linux and by OpenCV elsewhere. See `LiveSource`.

    name     a number, a path, a name of /dev/v4l/by-id, or a part of one or of the camera's own name; "auto" is the first one
    size_hw  (height, width) asked for; the nearest that it has is taken. None: 720p, or less where that is slow
    fps      frames a second asked for

    A camera that was unplugged is found again by its name under /dev/v4l/by-id, since its number may have become another.
    """

    def __init__(
        self,
        name: int | str = "auto",
        size_hw: tuple[int, int] | None = None,
        fps: float = 30.0,
        *,
        mirror: bool = False,
        patience_s: float = PATIENCE_S,
        backoff: Backoff | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(self._open, mirror=mirror, patience_s=patience_s, backoff=backoff, say=say)
        self.name = str(name)
        self._asked = size_hw, fps
        self._stable: Path | None = None

    def _open(self) -> Camera:
        size_hw, fps = self._asked
        if sys.platform != "linux":
            from edgeseg.runtime.capture.cv_camera import open_numbered

            return open_numbered(self.name, size_hw or DEFAULT_HW, fps)
        from edgeseg.runtime.capture.v4l2_camera import V4l2Camera

        if self._stable is not None:
            return V4l2Camera(self._stable, size_hw, fps, self.name)
        node = first_camera() if self.name == "auto" else v4l2.find(self.name)
        camera = V4l2Camera(node, size_hw, fps, str(node) if self.name == "auto" else self.name)
        self._stable = Path(v4l2.stable_names().get(node.resolve(), node))
        return camera


def first_camera(dev: Path = Path("/dev")) -> Path:
    """The first camera with a format that can be read, a real one before a virtual one; CaptureError where there is none."""
    found = [device for device in v4l2.devices(dev) if device.captures]
    for device in sorted(found, key=lambda device: device.is_loopback):
        if set(v4l2.formats(device.path)) & set(PREFERRED):
            return device.path
    seen = ", ".join(f"{device.path} ({device.card})" for device in found)
    raise CaptureError(
        f"no camera was found{f'; {seen} give no pictures that edgeseg reads' if seen else ''}; connect one, name it with "
        "--webcam NAME, or see: edgeseg doctor"
    )


class SyntheticCamera:
    """A moving red disc (the person) before a striped wall: frames that are known exactly. See `capture.Source`.

    `alpha(index)` is the true matte of frame `index`, so a test can tell a mask that comes a frame late.
    """

    still = False
    path: Path | None = None
    dropped = 0

    def __init__(self, size_hw: tuple[int, int] = (180, 320), fps: float = 30.0, frames: int = 10) -> None:
        self.size_hw = size_hw
        self.fps = fps
        self.frames: int | None = frames
        self._count = frames
        height, width = size_hw
        stripes = (np.arange(width) // max(1, width // 20)) % 2
        self._wall = np.empty((height, width, 3), np.uint8)
        self._wall[:] = np.where(stripes[:, None], (200, 160, 60), (60, 160, 90))

    def __enter__(self) -> SyntheticCamera:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def __iter__(self) -> Iterator[Shot]:
        for index in range(self._count):
            yield Shot(self.frame(index), index / self.fps)

    def frame(self, index: int) -> Frame:
        frame = self._wall.copy()
        frame[self.alpha(index) > 0] = (40, 40, 220)
        return frame

    def alpha(self, index: int) -> Alpha:
        """(h, w) 255 inside the disc: radius h/4, from a quarter of the width, 5 % of the width further each frame."""
        height, width = self.size_hw
        x = width * (0.25 + 0.05 * (index % 10))
        rows, columns = np.ogrid[:height, :width]
        inside = (rows + 0.5 - height / 2) ** 2 + (columns + 0.5 - x) ** 2 <= (height / 4) ** 2
        return inside.astype(np.uint8) * np.uint8(255)
