"""Several sinks as one: a hiccup costs a frame, a full disk costs its own file, and neither ends the run."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import OutputError
from edgeseg.runtime import Blur, Null, NullSession, Shot, SyntheticCamera, VideoSink, open_source, run
from edgeseg.runtime.capture.live import Backoff
from edgeseg.runtime.sinks import outputs
from edgeseg.runtime.sinks.outputs import Outputs
from tests.runtime.sinks.test_recordings import full_after

FRAME = np.zeros((180, 320, 3), np.uint8)


class Flaky(Null):
    """Fails in the writes, and in the openings, whose numbers are given; keeps what it gets."""

    def __init__(
        self, bad: Iterable[int] = (), closed_doors: Iterable[int] = (), live: bool = True, enough: int = 10**9
    ) -> None:
        self.bad, self.closed_doors = set(bad), set(closed_doors)
        self.reopens = live
        self.enough = enough
        self.writes = self.opened = self.closed = 0
        self.shots: list[Shot] = []
        self.ended_with: type[BaseException] | None = None

    def __enter__(self) -> Flaky:
        self.opened += 1
        if self.opened in self.closed_doors:
            raise OutputError("the door is closed")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:  # type: ignore[override]
        self.closed += 1
        self.ended_with = kind

    def write(self, shot: Shot) -> bool:
        self.writes += 1
        if self.writes in self.bad:
            raise OutputError("out of luck")
        self.shots.append(shot._replace(frame=shot.frame.copy()))
        return len(self.shots) < self.enough


def write_all(sinks: list[Null], frames: int = 10, said: list[str] | None = None) -> None:
    with Outputs(sinks, (said if said is not None else []).append, Backoff(0.0, 0.0)) as opened:
        for index in range(frames):
            opened.write(Shot(FRAME, index / 30))


def test_one_failing_write_costs_one_frame() -> None:
    shaky, other, said = Flaky({4}), Flaky(), []
    write_all([shaky, other], 10, said)
    assert (len(shaky.shots), len(other.shots)) == (9, 10)
    assert (shaky.opened, shaky.closed) == (1, 1)
    assert said == ["out of luck", "output works again"]


def test_a_hiccup_does_not_end_a_run() -> None:
    sink = Flaky({1, 5})
    with Blur(NullSession()) as blur, Outputs([sink]) as opened:
        assert run(SyntheticCamera(frames=8), blur, opened).frames == 8
    assert len(sink.shots) == 6


def test_a_live_sink_that_goes_on_failing_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "HICCUP_S", 0.0)
    sink, said = Flaky({3, 4}, closed_doors={2, 3}), []
    write_all([sink], 10, said)
    # frames 3: fails and closes; 4, 5: cannot be opened; 6: opens, and its write is the second bad one; 7 on: well
    assert len(sink.shots) == 2 + 4
    assert (sink.opened, sink.closed) == (5, 3)
    assert said == ["out of luck", "output works again"]


def test_between_attempts_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "HICCUP_S", 0.0)
    sink = Flaky(itertools.chain(range(1, 999)))
    with Outputs([sink], backoff=Backoff(30.0, 30.0)) as opened:
        for _ in range(100):
            opened.write(Shot(FRAME, 0.0))
    assert (sink.writes, sink.opened, sink.closed) == (1, 1, 1)


def test_a_file_that_fails_is_given_up_and_the_others_go_on() -> None:
    file, live, said = Flaky({4}, live=False), Flaky(), []
    write_all([file, live], 10, said)
    assert (file.writes, len(live.shots)) == (4, 10)
    assert said == ["out of luck"]
    assert file.closed == 1


def test_when_nothing_is_left_the_run_ends_with_the_error() -> None:
    said: list[str] = []
    with pytest.raises(OutputError, match="out of luck"):
        write_all([Flaky({2}, live=False), Flaky({5}, live=False)], 10, said)
    assert said == ["out of luck"]  # of the first; the second is the error
    with Outputs([Flaky({1}, live=False)]) as opened:
        for _ in range(3):  # and every further frame says so again
            with pytest.raises(OutputError, match="out of luck"):
                opened.write(Shot(FRAME, 0.0))


def test_what_cannot_be_opened_at_first_is_an_error_and_leaves_nothing_open() -> None:
    first, second, third = Flaky(), Flaky(closed_doors={1}), Flaky()
    with pytest.raises(OutputError, match="door"):
        write_all([first, second, third])
    assert (first.closed, second.closed, third.opened) == (1, 0, 0)


def test_the_first_that_wants_no_more_ends_the_run() -> None:
    with Blur(NullSession()) as blur, Outputs([Flaky(), Flaky(enough=3)]) as opened:
        assert run(SyntheticCamera(frames=50), blur, opened).frames == 3


def test_each_is_closed_with_what_ended_the_run() -> None:
    sinks = [Flaky(), Flaky()]
    with pytest.raises(KeyboardInterrupt), Outputs(sinks):
        raise KeyboardInterrupt
    assert [sink.ended_with for sink in sinks] == [KeyboardInterrupt, KeyboardInterrupt]


def test_a_full_disk_while_recording_does_not_take_the_other_output_down(tmp_path: Path) -> None:
    random, other, said = np.random.default_rng(0), Flaky(), []
    recording = VideoSink(tmp_path / "a.mp4", (120, 160), 5, live=True)
    with full_after(300_000), Outputs([recording, other], said.append) as opened:
        for index in range(60):
            opened.write(Shot(random.integers(0, 256, (120, 160, 3), np.uint8), index / 5))
    assert len(other.shots) == 60
    assert len(said) == 1
    assert "is kept and plays" in said[0]
    with open_source(tmp_path / "a.mp4") as source:
        assert len(list(source)) >= 10


def test_a_notice_is_written_over_the_finished_frame_and_not_into_it() -> None:
    sink, frame = Flaky(), np.full((180, 320, 3), 40, np.uint8)
    with Outputs([sink]) as opened:
        opened.write(Shot(frame, 0.0, notice="camera gone, waiting"))
        opened.write(Shot(frame, 0.1))
    assert sink.shots[0].frame.max() == 255
    assert (sink.shots[1].frame == 40).all()
    assert (frame == 40).all()


def test_watched_is_whether_anybody_looks() -> None:
    class Shown(Flaky):
        def __init__(self, watched: bool) -> None:
            super().__init__()
            self.watched = lambda: watched

    assert Outputs([Flaky()]).watched()  # a file has its reader later
    assert Outputs([Shown(False), Flaky()]).watched()
    assert Outputs([Shown(False), Shown(True)]).watched()
    assert not Outputs([Shown(False), Shown(False)]).watched()
