"""What a window may show in place of the result: the frame and the result side by side, or the mask; and figures over either.

The frame as the camera took it goes to the window of whoever asks for it, and to no other sink.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np

from edgeseg.runtime.arrays import Alpha, Frame, Shot
from edgeseg.runtime.capture.card import labelled
from edgeseg.runtime.control.controls import Controls

KEPT = 4  # frames between the compositing and the window


class Seen(Protocol):
    """A finished frame as the pipeline's stages know it."""

    frame: Frame
    alpha: Alpha | None
    time_s: float


class Views:
    """Draws what `controls` ask for. `remember` is run on each frame behind the pipeline's last stage.

    figures  are shown by their names
    """

    def __init__(self, controls: Controls, figures: Callable[[], dict[str, Any]] = dict) -> None:
        self.controls = controls
        self.figures = figures
        self._seen: deque[tuple[float, Frame, Alpha | None]] = deque(maxlen=KEPT)
        self._times_s: deque[float] = deque(maxlen=30)

    def remember(self, work: Seen) -> None:
        """Keep what the view needs of a frame; nothing while the result alone is shown."""
        if self.controls.view != "result":
            alpha = None if work.alpha is None else work.alpha.copy()
            self._seen.append((work.time_s, work.frame.copy(), alpha))
        elif self._seen:
            self._seen.clear()

    def draw(self, shot: Shot) -> Frame:
        """What to show for a finished `shot`; where nothing else was remembered, the result."""
        self._times_s.append(time.monotonic())
        out = shot.frame
        for time_s, frame, alpha in list(self._seen):
            if time_s == shot.time_s and self.controls.view == "side by side":
                out = np.concatenate([frame, shot.frame], axis=1)
            elif time_s == shot.time_s and self.controls.view == "mask" and alpha is not None:
                out = cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR)  # type: ignore[assignment]
        if self.controls.figures:
            out = out.copy() if out is shot.frame else out
            labelled(out, *self._lines())
        return out

    def _lines(self) -> list[str]:
        times, settings = self._times_s, self.controls.settings
        fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0
        background = settings.background.rpartition("/")[2]
        told = [f"{name.replace('_', ' ')} {value}" for name, value in self.figures().items()]
        return [f"{fps:.1f} fps", f"{background} {settings.strength:.1f}", *told]
