"""Backgrounds: told apart by content, aspect ratio kept, a video at its own speed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.errors import DataError, EdgesegError, UsageError
from edgeseg.runtime import Shot, VideoSink, Work, open_background
from edgeseg.runtime.composite import backgrounds
from edgeseg.runtime.composite.backgrounds import Background, cover

pytestmark = pytest.mark.usefixtures("way")


def drawn(background: Background, size: tuple[int, int] = (90, 160), time_s: float = 0.0) -> np.ndarray:
    work = Work().load(Shot(np.zeros((*size, 3), np.uint8), time_s))
    work.alpha = np.zeros(size, np.uint8)
    background.draw(work)
    return work.out


def test_a_colour_is_red_green_blue() -> None:
    assert (drawn(open_background("#ff8000")) == (0, 128, 255)).all()
    assert (drawn(open_background("green")) == (64, 177, 0)).all()


@pytest.mark.parametrize("size", [(90, 160), (160, 90), (100, 100), (31, 77)])
@pytest.mark.parametrize("picture_size", [(300, 300), (40, 300), (300, 40), (720, 1280)])
def test_a_picture_covers_the_frame_and_circles_stay_round(size: tuple[int, int], picture_size: tuple[int, int]) -> None:
    picture = np.zeros((*picture_size, 3), np.uint8)
    radius = min(picture_size) // 8
    cv2.circle(picture, (picture_size[1] // 2, picture_size[0] // 2), radius, (255, 255, 255), -1)
    out = cover(picture, size)
    assert out.shape == (*size, 3)
    rows, columns = (out[..., 0] > 127).any(axis=1).sum(), (out[..., 0] > 127).any(axis=0).sum()
    assert abs(int(rows) - int(columns)) <= max(2, 0.1 * rows)
    top, left = np.nonzero(out[..., 0] > 127)
    assert abs(top.mean() - (size[0] - 1) / 2) < 3  # cut about the centre
    assert abs(left.mean() - (size[1] - 1) / 2) < 3


def test_a_video_keeps_its_own_speed_and_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "b.mp4"
    with VideoSink(path, (64, 64), 10) as sink:
        for index in range(5):  # half a second: 40, 80, ... 200
            sink.write(Shot(np.full((64, 64, 3), 40 * (index + 1), np.uint8), index / 10))
    background = open_background(path)
    seen = [int(drawn(background, time_s=t).mean()) for t in (0.0, 0.05, 0.1, 0.35, 0.45, 0.55, 0.65)]
    background.close()
    assert np.abs(np.array(seen) - [40, 40, 80, 160, 200, 40, 80]).max() <= 3


@pytest.mark.parametrize(
    ("what", "error"),
    [("#12345", UsageError), ("#gggggg", UsageError), ("none.jpg", DataError), ("blurr", DataError), ("text", DataError)],
)
def test_a_bad_background_is_refused_in_one_line(
    what: str, error: type[EdgesegError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("hello")
    with pytest.raises(error) as caught:
        open_background(what)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("strength", [-0.1, 1.1])
def test_a_strength_outside_of_0_to_1_is_refused(strength: float) -> None:
    with pytest.raises(UsageError, match="strength"):
        open_background("blur", strength)


def test_more_strength_blurs_more() -> None:
    frame = np.zeros((180, 320, 3), np.uint8)
    frame[:, 160:] = 200
    widths = []
    for strength in (0.0, 0.5, 1.0):
        work = Work().load(Shot(frame, 0.0))
        work.alpha = np.zeros((180, 320), np.uint8)
        open_background("blur", strength).draw(work)
        out = work.out
        widths.append(int(((out[90, :, 0] > 20) & (out[90, :, 0] < 180)).sum()))
    assert 3 < widths[0] < widths[1] < widths[2]


@pytest.mark.parametrize(("strength", "height"), [(0.5, 720), (1.0, 360), (1.0, 722), (0.0, 481), (0.5, 719)])
def test_rows_that_are_drawn_together_look_as_if_drawn_one_by_one(
    monkeypatch: pytest.MonkeyPatch, strength: float, height: int
) -> None:
    """Against every row interpolated, on a room with lamps; 719 is prime: there nothing can be drawn together."""
    room = cv2.resize(np.random.default_rng(0).integers(40, 200, (9, 16, 3), np.uint8), (height * 16 // 9, height))

    def draw() -> np.ndarray:
        work = Work().load(Shot(room, 0.0))
        work.alpha = work.new_alpha()
        work.alpha[:] = 0
        backgrounds.Blurred(strength).draw(work)
        return work.out.copy()

    together = draw()
    monkeypatch.setattr(backgrounds, "ALIKE", ())
    apart = np.abs(together.astype(int) - draw())
    assert apart.max() <= 2
    assert (apart.max() == 0) == (height == 719 or strength == 0)
