"""A window on the screen: OpenCV's where it has one, else Tk's, which comes with most Pythons.

The headless OpenCV that edgeseg installs has no window, so that it works on boards without a screen.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from types import TracebackType
from typing import Any

import cv2

from edgeseg.errors import OutputError
from edgeseg.runtime.arrays import Frame, Shot
from edgeseg.runtime.control.controls import KEYS
from edgeseg.runtime.quiet import quiet_stderr
from edgeseg.runtime.sinks.views import Views

TITLE = "edgeseg"
TK_WIDTH = 960  # Tk takes some 10 ms for a picture of this width; a wider one is shrunk
HELP = "write to a file with --output FILE.mp4, install Tk (apt install python3-tk), or use opencv-python in place of -headless"


def open_window(views: Views | None = None) -> CvWindow | TkWindow:
    """The first kind of window that works here, unopened. OutputError where there is none, with what to do.

    views  draws what its keys ask for; without it q and Esc alone are heard
    """
    if not has_screen():
        raise OutputError("there is no screen to open a window on; write to a file with --output FILE.mp4")
    if has_cv_window():
        return CvWindow(views)
    if importlib.util.find_spec("tkinter") and importlib.util.find_spec("_tkinter"):
        return TkWindow(views)
    raise OutputError(f"neither OpenCV nor Python can open a window here; {HELP}")


def has_screen() -> bool:
    """Whether this session has a screen to open a window on (over ssh it has none)."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def has_cv_window() -> bool:
    """Whether this build of OpenCV can open windows; the headless one cannot."""
    lines = [line for line in cv2.getBuildInformation().splitlines() if "GUI:" in line]
    return bool(lines) and "NONE" not in lines[0]


def title(views: Views | None) -> str:
    """What the window is called: it is where its keys are looked for."""
    return TITLE + (" (q or Esc ends)" if views is None else "  " + "  ".join(f"{key} {what}" for key, what in KEYS.items()))


class CvWindow:
    """A window by OpenCV. See `sinks.Sink`."""

    reopens = True

    def __init__(self, views: Views | None = None) -> None:
        self._views = views

    def __enter__(self) -> CvWindow:
        try:
            with quiet_stderr():
                cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
                cv2.setWindowTitle(TITLE, title(self._views))
        except cv2.error as error:
            raise OutputError(f"no window can be opened ({error.err}); {HELP}") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        cv2.destroyAllWindows()

    def write(self, shot: Shot) -> bool:
        cv2.imshow(TITLE, shown(self._views, shot))
        code = cv2.waitKey(1)
        if code >= 0 and not pressed(self._views, chr(code & 0xFF)):
            return False
        return cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1


class TkWindow:
    """A window by Tk. See `sinks.Sink`."""

    reopens = True

    def __init__(self, views: Views | None = None) -> None:
        self._views = views

    def __enter__(self) -> TkWindow:
        import tkinter

        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise OutputError(f"no window can be opened ({error}); {HELP}") from None
        self._root.title(title(self._views))
        self._wanted = True
        self._picture = tkinter.PhotoImage(master=self._root)
        tkinter.Label(self._root, image=self._picture, borderwidth=0).pack()
        self._root.bind("<Key>", self._key)
        self._root.protocol("WM_DELETE_WINDOW", self._end)
        return self

    def _key(self, event: Any) -> None:
        self._wanted = self._wanted and pressed(self._views, event.char)

    def _end(self) -> None:
        self._wanted = False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._root.destroy()

    def write(self, shot: Shot) -> bool:
        frame = shown(self._views, shot)
        if frame.shape[1] > TK_WIDTH:
            height = max(1, round(frame.shape[0] * TK_WIDTH / frame.shape[1]))
            frame = cv2.resize(frame, (TK_WIDTH, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        header = f"P6 {frame.shape[1]} {frame.shape[0]} 255\n".encode()
        self._picture.configure(data=header + cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).tobytes(), format="ppm")
        self._root.update()
        return self._wanted


def shown(views: Views | None, shot: Shot) -> Frame:
    return shot.frame if views is None else views.draw(shot)


def pressed(views: Views | None, key: str) -> bool:
    """Whether to go on after `key`."""
    return key not in ("q", "\x1b") if views is None else views.controls.press(key)
