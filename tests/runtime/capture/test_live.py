"""A live source: the newest frame, a card while the camera is away, re-opening with back-off, release while nobody watches."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from edgeseg.errors import CameraBusyError, CaptureError
from edgeseg.runtime import Shot
from edgeseg.runtime.capture import live
from edgeseg.runtime.capture.card import GREY, captioned, letterbox
from edgeseg.runtime.capture.live import Backoff, LiveSource
from tests.runtime.capture.cameras import GONE, NOTHING, Port, ScriptedCamera, picture

QUICK = Backoff(0.01, 0.04)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become hundredths."""
    monkeypatch.setattr(live, "SLICE_S", 0.01)
    monkeypatch.setattr(live, "CARD_EVERY_S", 0.05)
    monkeypatch.setattr(live, "RELEASE_AFTER_S", 0.05)


def source_of(port: Port, said: list[str] | None = None, **settings: object) -> LiveSource:
    quick = Backoff(0.01, 0.04)
    return LiveSource(port, patience_s=0.1, backoff=quick, say=(said if said is not None else []).append, **settings)  # type: ignore[arg-type]


def endless(value: int = 9) -> ScriptedCamera:
    return ScriptedCamera(picture(value) for _ in itertools.count())


def until(shots: Iterable[Shot], enough: object) -> Iterator[Shot]:
    """Shots up to the first for which `enough` holds, but no longer than some seconds."""
    end_s = time.monotonic() + 5
    for shot in shots:
        assert time.monotonic() < end_s, "what was waited for did not come"
        yield shot
        if enough(shot):  # type: ignore[operator]
            return


def test_a_camera_that_vanishes_and_returns_shows_a_card_between() -> None:
    port = Port(
        lambda: ScriptedCamera([picture(1), picture(2), GONE]),
        CaptureError("No such device"),
        CaptureError("No such device"),
        lambda: endless(3),
    )
    said: list[str] = []
    with source_of(port, said) as source:
        assert source.size_hw == (6, 8)
        shots = list(until(source, lambda shot: shot.frame[0, 0, 0] == 3))
    kinds = [shot.notice or int(shot.frame[0, 0, 0]) for shot in shots]
    assert list(dict.fromkeys(kinds)) in ([1, 2, "camera gone, waiting", 3], [2, "camera gone, waiting", 3])
    cards = [shot for shot in shots if shot.notice]
    assert all((card.frame == GREY).all() for card in cards)  # nothing of the room in it
    times = [shot.time_s for shot in shots]
    assert times == sorted(set(times))
    assert said == ["camera gone, waiting", "camera is back"]
    assert port.opened[0].closed


def test_the_waits_between_attempts_grow_and_nothing_spins() -> None:
    port = Port(lambda: ScriptedCamera([picture(1), GONE]), CaptureError("No such device"))
    source = LiveSource(port, patience_s=0.1, backoff=Backoff(0.02, 0.08))
    with source:
        shots = list(itertools.takewhile(lambda _: len(port.attempts) < 7, source))
    gaps = np.diff(port.attempts[1:7])
    assert (gaps >= [0.038, 0.078, 0.078, 0.078, 0.078]).all()  # 20 ms have passed before the first attempt
    assert len(shots) < 20  # cards are few: 50 ms apart
    assert port.opened[0].reads == 2


def test_the_back_off_by_hand() -> None:
    backoff = Backoff(0.5, 8)
    assert [backoff.wait_s() for _ in range(7)] == [0.5, 1, 2, 4, 8, 8, 8]
    backoff.reset()
    assert backoff.wait_s() == 0.5


def test_a_camera_that_stalls_is_opened_again() -> None:
    port = Port(lambda: ScriptedCamera([picture(1), *[NOTHING] * 999]), lambda: endless(2))
    with source_of(port) as source:
        list(until(source, lambda shot: shot.frame[0, 0, 0] == 2))
    assert port.opened[0].closed
    assert port.opened[0].reads < 30


def test_a_camera_that_another_program_took_is_said_to_be_in_use() -> None:
    port = Port(lambda: ScriptedCamera([picture(1), GONE]), CameraBusyError("in use by vlc"), lambda: endless(2))
    said: list[str] = []
    with source_of(port, said) as source:
        list(until(source, lambda shot: shot.frame[0, 0, 0] == 2))
    assert said == ["camera gone, waiting", "camera in use elsewhere, waiting", "camera is back"]


def test_a_camera_that_cannot_be_opened_at_first_is_an_error_and_so_is_one_without_pictures() -> None:
    with pytest.raises(CaptureError, match="No such device"), source_of(Port(CaptureError("No such device"))):
        pass
    blind = Port(lambda: ScriptedCamera([NOTHING]))
    with pytest.raises(CaptureError, match="gives no pictures"), source_of(blind):
        pass
    assert blind.opened[0].closed


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    port = Port(lambda: ScriptedCamera([picture(i) for i in range(1, 51)], every_s=0.001))
    with source_of(port) as source:
        shots = iter(source)
        next(shots)
        time.sleep(0.15)  # a slow consumer
        newest = next(shots)
        assert newest.frame[0, 0, 0] > 20
        assert source.dropped >= 20
        assert port.opened[0].reads <= 65


def test_it_comes_back_with_another_size_and_fits_the_first() -> None:
    wide = np.full((6, 16, 3), 200, np.uint8)
    port = Port(lambda: ScriptedCamera([picture(1), GONE]), lambda: ScriptedCamera(wide for _ in itertools.count()))
    with source_of(port) as source:
        *_, last = until(source, lambda shot: shot.frame.max() == 200)
    assert last.frame.shape == (6, 8, 3)
    assert last.frame[:, 4, 0].tolist() == [GREY, 200, 200, 200, GREY, GREY]  # its shape kept: 3 rows of 6


def test_it_is_closed_while_nobody_watches_and_opened_when_somebody_does() -> None:
    port = Port(endless)
    watched = threading.Event()
    source = source_of(port)
    source.wanted = watched.is_set
    with source:
        shots = iter(source)
        paused = list(until(shots, lambda shot: shot.notice))
        assert paused[-1].notice == "paused"
        assert port.opened[0].closed
        started_s = time.monotonic()
        more = list(itertools.islice(shots, 4))
        assert {shot.notice for shot in more} == {"paused"}
        assert time.monotonic() - started_s > 0.14  # and that costs next to nothing
        watched.set()
        list(until(shots, lambda shot: not shot.notice))
    assert len(port.opened) == 2


def test_a_mirror_exchanges_left_and_right_also_of_the_small_picture() -> None:
    frame = np.zeros((2, 3, 3), np.uint8)
    frame[:, 0] = 255

    class TwoStreams(ScriptedCamera):
        def read(self, patience_s: float) -> live.Captured | None:
            time.sleep(0.005)
            return live.Captured(frame, time.monotonic(), frame[:1])

    with source_of(Port(lambda: TwoStreams([])), mirror=True) as source:
        shot = next(iter(source))
    assert shot.small is not None
    assert shot.frame[..., 0].tolist() == [[0, 0, 255]] * 2
    assert shot.small[..., 0].tolist() == [[0, 0, 255]]


def test_a_fault_of_ours_in_the_thread_reaches_whoever_iterates() -> None:
    def faulty() -> Iterator[np.ndarray]:
        yield picture(1)
        yield picture(1)
        raise ZeroDivisionError

    with source_of(Port(lambda: ScriptedCamera(faulty()))) as source, pytest.raises(ZeroDivisionError):
        list(source)


def test_leaving_ends_the_thread_and_closes_the_camera() -> None:
    port = Port(endless)
    before = threading.active_count()
    with source_of(port) as source:
        next(iter(source))
    assert threading.active_count() == before
    assert port.opened[0].closed


@pytest.mark.parametrize("size_hw", [(1, 1), (9, 300), (720, 1280), (300, 9)])
def test_words_fit_any_frame_and_leave_it_alone(size_hw: tuple[int, int]) -> None:
    frame = np.full((*size_hw, 3), 90, np.uint8)
    out = captioned(frame, "camera gone, waiting", "second line")
    assert out.shape == frame.shape
    assert (frame == 90).all()
    assert (out.max() == 255) == (min(size_hw) > 100)


def test_a_letterbox_by_hand() -> None:
    out = letterbox(np.full((2, 2, 3), 255, np.uint8), (2, 6))
    assert out[0, :, 0].tolist() == [GREY, GREY, 255, 255, GREY, GREY]
