"""Keys, and what they change; what the window shows for them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from edgeseg.errors import DataError
from edgeseg.runtime import Shot
from edgeseg.runtime.control.controls import KEYS, Controls, Settings
from edgeseg.runtime.sinks.views import Views

PLAIN = Settings()


def controls_of(
    settings: Settings = PLAIN, backgrounds: tuple[str, ...] = (), said: list[str] | None = None
) -> tuple[Controls, list[Settings]]:
    """Controls, and the list of what was put into effect; "broken.jpg" cannot be."""
    done: list[Settings] = []

    def background(after: Settings) -> None:
        if after.background == "broken.jpg":
            raise DataError("broken.jpg is no picture")
        done.append(after)

    apply = {"background": background, "strength": background, "mirror": done.append}
    return Controls(settings, apply, backgrounds, (said if said is not None else []).append), done


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("+", Settings(strength=0.6)),
        ("=", Settings(strength=0.6)),
        ("--", Settings(strength=0.3)),
        ("+++++++++", Settings(strength=1.0)),
        ("---------", Settings(strength=0.0)),
        ("r", Settings(mirror=True)),
        ("rr", Settings()),
        ("n", Settings(background="a.jpg")),
        ("nn", Settings(background="b.mp4")),
        ("nnn", Settings()),
        ("nb", Settings()),
        ("xyz\x00", Settings()),
    ],
)
def test_what_a_key_changes(keys: str, expected: Settings) -> None:
    controls, done = controls_of(backgrounds=("a.jpg", "b.mp4"))
    assert all(controls.press(key) for key in keys)
    assert controls.settings == expected
    assert (done[-1] if done else Settings()) == expected


@pytest.mark.parametrize("key", ["q", "\x1b"])
def test_q_and_escape_end_it(key: str) -> None:
    assert not controls_of()[0].press(key)


def test_every_key_that_is_shown_does_something() -> None:
    for key in set(KEYS) - {"q"}:
        controls, _ = controls_of(Settings("#00ff00"), ("a.jpg",))
        before = controls.settings, controls.view, controls.figures
        assert controls.press(key)
        assert (controls.settings, controls.view, controls.figures) != before, key


def test_a_background_that_is_broken_is_passed_over_and_said() -> None:
    said: list[str] = []
    controls, _ = controls_of(backgrounds=("broken.jpg", "b.jpg"), said=said)
    controls.press("n")
    assert controls.settings.background == "b.jpg"
    assert said == ["broken.jpg is no picture"]


def test_a_change_that_cannot_be_is_no_change_at_all() -> None:
    controls, done = controls_of()
    assert not controls.change(background="broken.jpg", strength=0.9)
    assert controls.settings == Settings()
    assert done == []


def test_one_function_is_called_once_and_for_changes_alone() -> None:
    controls, done = controls_of()
    assert controls.change(background="a.jpg", strength=0.9, mirror=False)
    assert done == [Settings("a.jpg", 0.9)]
    assert controls.change(background="a.jpg")
    assert len(done) == 1


RAW, RESULT = np.full((20, 30, 3), 10, np.uint8), np.full((20, 30, 3), 200, np.uint8)
ALPHA = np.full((20, 30), 77, np.uint8)


def work(time_s: float = 1.0, alpha: np.ndarray | None = ALPHA) -> SimpleNamespace:
    return SimpleNamespace(frame=RAW, alpha=alpha, time_s=time_s)


def test_the_result_alone_is_shown_and_nothing_is_kept() -> None:
    views = Views(controls_of()[0])
    views.remember(work())
    assert views.draw(Shot(RESULT, 1.0)) is RESULT
    assert not views._seen


def test_side_by_side_and_the_mask() -> None:
    views = Views(controls_of()[0])
    views.controls.press("s")
    views.remember(work())
    both = views.draw(Shot(RESULT, 1.0))
    assert both.shape == (20, 60, 3)
    assert both[0, ::30, 0].tolist() == [10, 200]
    views.controls.press("m")
    assert (views.draw(Shot(RESULT, 1.0)) == 77).all()
    views.controls.press("m")
    assert views.draw(Shot(RESULT, 1.0)) is RESULT


def test_a_frame_that_was_not_remembered_is_shown_as_the_result() -> None:
    views = Views(controls_of()[0])
    views.controls.press("s")
    views.remember(work(1.0))
    assert views.draw(Shot(RESULT, 2.0)) is RESULT  # never the frame of another moment
    views.controls.press("m")
    views.remember(work(3.0, alpha=None))  # a frame that was hidden
    assert views.draw(Shot(RESULT, 3.0)) is RESULT


def test_what_is_remembered_is_a_copy_and_little() -> None:
    views = Views(controls_of()[0])
    views.controls.press("s")
    frame = RAW.copy()
    views.remember(SimpleNamespace(frame=frame, alpha=None, time_s=1.0))
    frame[:] = 99  # the buffer is used again
    assert views.draw(Shot(RESULT, 1.0))[0, 0, 0] == 10
    for index in range(50):
        views.remember(work(float(index)))
    assert len(views._seen) == 4


def test_figures_are_written_over_a_copy() -> None:
    views = Views(controls_of(Settings("/pictures/beach.jpg"))[0], lambda: {"dropped": 3})
    views.controls.press("i")
    frame = np.full((360, 640, 3), 90, np.uint8)
    shown = views.draw(Shot(frame, 1.0))
    assert (frame == 90).all()
    assert (shown != frame).any()
    assert views._lines()[1:] == ["beach.jpg 0.5", "dropped 3"]
