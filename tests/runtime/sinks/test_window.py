"""The window: Tk's on a screen of its own (Xvfb), and how OpenCV's is driven."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from edgeseg.errors import OutputError
from edgeseg.runtime import Shot, SyntheticCamera, open_sink
from edgeseg.runtime.capture.clock_camera import BARS, colour_bars
from edgeseg.runtime.control.controls import Controls, Settings
from edgeseg.runtime.sinks import window
from edgeseg.runtime.sinks.views import Views


def views() -> Views:
    return Views(Controls(Settings(), {}))


def test_without_a_screen_a_window_says_to_use_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    for output in (None, "window"):
        with pytest.raises(OutputError, match="--output"):
            open_sink(output, SyntheticCamera())


@pytest.fixture(scope="module")
def screen() -> Iterator[None]:
    pytest.importorskip("_tkinter")
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb, which makes a screen to try a window on")
    number, write = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x900x24"], pass_fds=[write], stderr=subprocess.DEVNULL
    ) as server:
        before = os.environ.get("DISPLAY")
        os.environ["DISPLAY"] = f":{os.read(number, 16).decode().strip()}"
        yield
        os.environ.pop("DISPLAY") if before is None else os.environ.update(DISPLAY=before)
        server.terminate()
    os.close(number)
    os.close(write)


def press(opened: window.TkWindow, key: str) -> None:
    opened._root.focus_force()
    opened._root.update()
    opened._root.event_generate("<Key>", keysym={"+": "plus", "\x1b": "Escape"}.get(key, key))


def test_tk_shows_the_colours_and_shrinks_what_is_wide(screen: None) -> None:
    with window.TkWindow() as opened:
        assert opened.write(Shot(colour_bars((72, 128)), 0.0))
        assert (opened._picture.width(), opened._picture.height()) == (128, 72)
        assert [opened._picture.get(8 + 16 * i, 36)[::-1] for i in range(8)] == list(BARS)
        assert opened.write(Shot(colour_bars((720, 1280)), 0.1))
        assert (opened._picture.width(), opened._picture.height()) == (960, 540)


def test_tk_hears_the_keys(screen: None) -> None:
    shown, frame = views(), np.zeros((90, 160, 3), np.uint8)
    with window.TkWindow(shown) as opened:
        assert opened.write(Shot(frame, 0.0))
        assert "side by side" in opened._root.title()
        for key in "+sir":
            press(opened, key)
            assert opened.write(Shot(frame, 0.1))
        assert (shown.controls.settings, shown.controls.view) == (Settings(strength=0.6, mirror=True), "side by side")
        assert shown.controls.figures
        press(opened, "q")
        assert not opened.write(Shot(frame, 0.2))


@pytest.mark.parametrize("how", ["\x1b", "close"])
def test_tk_ends_by_escape_and_by_its_cross(screen: None, how: str) -> None:
    with window.TkWindow() as opened:
        assert opened.write(Shot(np.zeros((9, 16, 3), np.uint8), 0.0))
        opened._root.tk.call(*opened._root.protocol("WM_DELETE_WINDOW").split()) if how == "close" else press(opened, how)
        assert not opened.write(Shot(np.zeros((9, 16, 3), np.uint8), 0.1))


def test_opencv_is_driven_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, shown, alive = iter([-1, ord("+"), ord("x"), ord("q")]), [], [1.0]
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "setWindowTitle", lambda *_: None)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    monkeypatch.setattr(cv2, "imshow", lambda _, frame: shown.append(frame))
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(keys))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: alive[0])
    seen = views()
    frame = np.zeros((9, 16, 3), np.uint8)
    with window.CvWindow(seen) as opened:
        assert [opened.write(Shot(frame, i / 30)) for i in range(4)] == [True, True, True, False]
    assert seen.controls.settings.strength == 0.6
    assert len(shown) == 4
    keys = iter([-1])
    alive[0] = 0.0  # its cross was pressed
    with window.CvWindow() as opened:
        assert not opened.write(Shot(frame, 0.0))


def test_the_kind_of_window_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "has_screen", lambda: True)
    monkeypatch.setattr(window, "has_cv_window", lambda: True)
    assert isinstance(window.open_window(), window.CvWindow)
    monkeypatch.setattr(window, "has_cv_window", lambda: False)
    monkeypatch.setattr(window.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(OutputError, match="python3-tk"):
        window.open_window()
