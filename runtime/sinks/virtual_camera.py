"""A virtual camera that other programs can choose: v4l2loopback on Linux, and what pyvirtualcam has elsewhere (OBS)."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edgeseg.errors import MissingExtraError, OutputError
from edgeseg.runtime.arrays import Frame, Shot
from edgeseg.runtime.sinks.loopback import REMEDY, Loopback, find_loopback
from edgeseg.runtime.sinks.watchers import Watchers, open_watchers


class VirtualCamera:
    """See `sinks.Sink`. Entered, it shows up in other programs' lists; `watched` tells whether one shows it.

    device  /dev/videoN on Linux, a name elsewhere; the first that is free, if None
    """

    reopens = True

    def __init__(self, size_hw: tuple[int, int], fps: float, device: str | None = None) -> None:
        self._size_hw = size_hw
        self._fps = fps
        self._device = device

    def __enter__(self) -> VirtualCamera:
        self._watchers: Watchers | None = None
        self._lock = threading.Lock()  # `watched` is asked by another thread than the one that closes
        path = self._find()
        if path is not None:
            self._loopback: Loopback | None = Loopback(path, self._size_hw, self._fps)
            self._watchers = open_watchers(path)
        else:
            self._loopback = None
            self._camera = open_pyvirtualcam(self._size_hw, self._fps, self._device)
        return self

    def _find(self) -> Path | None:
        if sys.platform != "linux":
            return None
        return Path(self._device) if self._device else find_loopback()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            if self._watchers is not None:
                self._watchers.close()
                self._watchers = None
        if self._loopback is not None:
            self._loopback.close()
        else:
            self._camera.close()

    def write(self, shot: Shot) -> bool:
        if self._loopback is not None:
            self._loopback.write(shot.frame)
            return True
        try:
            frame: Frame = np.ascontiguousarray(shot.frame)
            self._camera.send(frame)
        except (RuntimeError, ValueError, OSError) as error:
            raise OutputError(f"the virtual camera takes no frames: {' '.join(str(error).split())}") from None
        return True

    def watched(self) -> bool:
        """Whether a program shows it; True where that cannot be told."""
        with self._lock:
            return self._watchers is None or self._watchers.count() > 0


def open_pyvirtualcam(size_hw: tuple[int, int], fps: float, device: str | None) -> Any:
    """The camera that pyvirtualcam finds. MissingExtraError without it, OutputError where it finds none."""
    try:
        import pyvirtualcam
    except ImportError:
        if sys.platform == "linux":
            raise MissingExtraError("pyvirtualcam", "vcam", f"a virtual camera without v4l2loopback ({REMEDY})") from None
        raise MissingExtraError("pyvirtualcam", "vcam", "a virtual camera") from None
    height, width = size_hw
    try:
        return pyvirtualcam.Camera(width, height, fps, fmt=pyvirtualcam.PixelFormat.BGR, device=device)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise OutputError(f"no virtual camera could be opened: {reason}; see: edgeseg doctor") from None
