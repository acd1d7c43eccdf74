"""Stages side by side: order, drops, lag, failures, ends."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

from edgeseg.errors import CaptureError, ModelError, OutputError, ShapeError, UsageError
from edgeseg.runtime import Blur, NullSession, Shot, StageTimes, SyntheticCamera, Work, run
from edgeseg.runtime.bounded import BoundedQueue
from edgeseg.runtime.line import FILE_WORKS, LIVE_WORKS, Line, is_live
from edgeseg.runtime.patience import PATIENCE
from tests.runtime.sources import Camera, Everybody, Sink, numbered


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("edgeseg")]


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Any:
    yield
    assert threads() == []


def is_hidden(shot: Shot) -> bool:
    """Whether a frame of `numbered` in which everybody is a person is not shown as it is."""
    return shot.alpha is None


class File(Camera):
    """The same frames from a file: it waits to be asked."""

    def __init__(self, count: int, **how: Any) -> None:
        super().__init__(count, **how)
        self.frames = count


@pytest.mark.parametrize("sync", ["exact", "low-latency"])
@pytest.mark.parametrize("slow", ["source", "network", "sink"])
def test_from_a_file_every_frame_comes_in_order(sync: Any, slow: str) -> None:
    delay = {name: 0.004 if name == slow else 0.0 for name in ("source", "network", "sink")}
    sink = Sink(lambda _: time.sleep(delay["sink"]))
    blur = Blur(Everybody(delay["network"]), keyframes="every")
    report = run(File(25, interval_s=delay["source"]), blur, sink, sync=sync)
    assert sink.numbers == list(range(25))
    assert (report.frames, report.dropped, report.sync) == (25, 0, sync)


@pytest.mark.parametrize("cores", [1, 2])
def test_one_core_gives_the_same_frames(cores: int) -> None:
    camera = SyntheticCamera((90, 160), frames=8)
    blur, shots = Blur(NullSession(), background="#0000ff"), []
    with Line(camera, blur, StageTimes(), cores=cores) as line:
        assert len(threads()) == cores + 1
        for work in line:
            shots.append(work.out.copy())
            line.give_back(work)
    alone = Blur(NullSession(), background="#0000ff")
    for index, shot in enumerate(shots):
        np.testing.assert_array_equal(shot, alone(camera.frame(index), index / 30))
    assert len(shots) == 8


def test_a_live_source_is_one_that_waits_for_nobody() -> None:
    assert is_live(Camera(1))
    assert not is_live(File(1))
    assert not is_live(SyntheticCamera(frames=1))


@pytest.mark.parametrize("held_up", ["network", "sink"])
def test_of_a_live_source_the_newest_frame_is_shown_and_at_most_one_older(held_up: str) -> None:
    """The network, or the sink, is held up with the first frame until fifty have come."""
    come = threading.Event()

    class Burst(Camera):
        def __iter__(self) -> Any:
            for shot in super().__iter__():
                if round(30 * shot.time_s) == 50:
                    come.set()
                    time.sleep(0.2)
                yield shot

    def hold_up(*_: object) -> bool:
        come.wait(10)
        return False

    sink = Sink(hold_up if held_up == "sink" else lambda _: None)
    session = Everybody(bad=hold_up if held_up == "network" else lambda _: False)
    report = run(Burst(51), Blur(session, keyframes="every"), sink)
    older = [number for number in sink.numbers[1:] if number < 49]
    assert sink.numbers == sorted(set(sink.numbers))
    assert {49, 50} & set(sink.numbers)
    assert len(older) <= 1
    assert report.frames + report.dropped >= 50
    assert report.dropped >= 45


def test_works_and_their_arrays_are_few_and_used_again() -> None:
    sink = Sink()
    run(File(40), Blur(Everybody()), sink)
    assert 1 <= len(sink.arrays) <= FILE_WORKS
    live = Sink()
    run(Camera(40, interval_s=0.001), Blur(Everybody()), live)
    assert 1 <= len(live.arrays) <= LIVE_WORKS


def test_low_latency_does_not_wait_for_the_network() -> None:
    """The network is held up until twenty frames have been shown."""
    shown = threading.Event()

    def count(shot: Shot) -> None:
        if len(sink.shots) == 20:
            shown.set()
        if len(sink.shots) > 20 and not is_hidden(shot):
            raise KeyboardInterrupt

    sink = Sink(count)
    report = run(Camera(5000, interval_s=0.001), Blur(Everybody(bad=lambda _: not shown.wait(10))), sink, sync="low-latency")
    assert len(sink.shots) > 20
    assert all(is_hidden(shot) for shot in sink.shots)  # nothing was known: not one frame of the raw room
    assert report.frames < 4900  # it ended since a mask had come
    assert report.sync == "low-latency"


def test_a_mask_that_has_become_too_old_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeseg.runtime import line

    monkeypatch.setattr(line, "STALE_S", 0.05)
    seen, gone = threading.Event(), threading.Event()

    def step(shot: Shot) -> None:
        if not is_hidden(shot):
            seen.set()  # from now on the network hangs
        elif seen.is_set():
            gone.set()
            raise KeyboardInterrupt

    hangs = Everybody(bad=lambda _: seen.is_set() and not gone.wait(10))
    run(Camera(5000, interval_s=0.002), Blur(hangs, keyframes="every"), Sink(step), sync="low-latency")
    assert gone.is_set()


def test_pictures_are_never_given_the_mask_of_another() -> None:
    source = File(4)
    source.still = True
    sink = Sink()
    run(source, Blur(Everybody(0.01)), sink, sync="low-latency")
    assert not any(is_hidden(shot) for shot in sink.shots)


@pytest.mark.parametrize("sync", ["exact", "low-latency"])
def test_what_the_source_raises_comes_after_its_frames(sync: Any) -> None:
    class Vanishing(File):
        def __iter__(self) -> Any:
            yield from super().__iter__()
            raise CaptureError("unplugged")

    sink = Sink()
    with pytest.raises(CaptureError, match="unplugged"):
        run(Vanishing(5), Blur(NullSession()), sink, sync=sync)
    assert sink.numbers == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("sync", ["exact", "low-latency"])
def test_a_network_that_keeps_failing_ends_the_run_and_nothing_was_seen(sync: Any) -> None:
    sink = Sink(lambda _: time.sleep(0.002))
    with pytest.raises(ModelError, match="out of luck"):
        run(File(3000), Blur(Everybody(bad=lambda _: True)), sink, sync=sync)
    assert all(is_hidden(shot) for shot in sink.shots)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (np.zeros((4, 5), np.uint8), "COLOR_GRAY2BGR"),
        (np.zeros((4, 5, 1), np.uint8), "COLOR_GRAY2BGR"),
        (np.zeros((4, 5, 4), np.uint8), "COLOR_BGRA2BGR"),
        (np.zeros((4, 5, 3), np.float32), "float32"),
    ],
)
def test_frames_of_another_kind_are_refused_in_a_line_that_says_what_to_do(frame: np.ndarray, says: str) -> None:
    class Odd(File):
        def __iter__(self) -> Any:
            yield Shot(frame, 0.0)

    with pytest.raises(ShapeError, match=says):
        run(Odd(1), Blur(NullSession()), Sink())
    with pytest.raises(ShapeError, match=says):
        Blur(NullSession())(frame)


FAILING = ("infer", "refine", "composite", "after refine", "after composite")


def failing_blur(stage: str, bad: Any) -> Blur:
    """Whose `stage` fails on the frames whose number is in `bad`."""
    blur = Blur(Everybody(bad=lambda number: stage == "infer" and number in bad), keyframes="every")

    def fail(work: Work) -> None:
        if round(30 * work.time_s) in bad:
            raise ValueError("a bug")

    own = {"after refine": blur.after_refine, "after composite": blur.after_composite}
    if stage in own:
        own[stage](fail)
    elif stage != "infer":
        name = {"refine": "_finish", "composite": "_compose"}[stage]
        whole = getattr(blur, name)

        def failing(work: Work) -> None:
            whole(work)
            fail(work)  # when all is done but said

        setattr(blur, name, failing)
    return blur


@pytest.mark.parametrize("stage", FAILING)
def test_a_stage_that_fails_hides_its_frame_and_the_run_goes_on(stage: str) -> None:
    sink = Sink()
    report = run(File(20), failing_blur(stage, {0, 5, 6, 19}), sink)
    assert report.frames == 20
    assert report.failures == {stage: 4}
    assert [number for number, shot in zip(sink.numbers, sink.shots, strict=True) if is_hidden(shot)] == [0, 5, 6, 19]


@pytest.mark.parametrize("stage", FAILING)
def test_a_stage_that_keeps_failing_ends_the_run(stage: str) -> None:
    sink = Sink()
    with pytest.raises(ModelError if stage == "infer" else ValueError):
        run(File(50), failing_blur(stage, range(3, 50)), sink)
    assert [is_hidden(shot) for shot in sink.shots] == [False] * 3 + [True] * (PATIENCE - 1)


def test_a_sink_that_fails_now_and_then_does_not_end_a_live_run() -> None:
    def hiccup(shot: Shot) -> None:
        if round(30 * shot.time_s) % 4 == 1:
            raise OutputError("the reader was away")

    sink = Sink(hiccup)
    report = run(Camera(30, interval_s=0.003), Blur(Everybody()), sink)
    assert 0 < report.failures["sink"] <= 8
    assert sink.numbers[-1] > 25
    with pytest.raises(OutputError):  # what is made of a file must be whole
        run(File(30), Blur(Everybody()), Sink(hiccup))


def test_a_sink_that_keeps_failing_ends_a_live_run_too() -> None:
    def broken(shot: Shot) -> None:
        raise OutputError("gone")

    with pytest.raises(OutputError, match="gone"):
        run(Camera(500, interval_s=0.001), Blur(Everybody()), Sink(broken))


@pytest.mark.parametrize("sync", ["exact", "low-latency"])
@pytest.mark.parametrize("where", ["at once", "in the sink", "in progress"])
def test_ctrl_c_at_any_moment_ends_it_in_order(where: str, sync: Any) -> None:
    def interrupt(*_: object) -> None:
        if len(sink.shots) == (0 if where == "at once" else 7):
            signal.raise_signal(signal.SIGINT)

    sink = Sink(interrupt if where != "in progress" else lambda _: None)
    report = run(File(10_000), Blur(Everybody()), sink, interrupt if where == "in progress" else None, sync=sync)
    assert len(sink.shots) == (0 if where == "at once" else 7)
    assert report.frames == len(sink.shots)


def test_ctrl_c_while_a_camera_gives_nothing() -> None:
    class Stalled(Camera):
        def __iter__(self) -> Any:
            yield Shot(numbered(0), 0.0)
            stalled.set()
            ended.wait(20)

    stalled, ended = threading.Event(), threading.Event()

    def press() -> None:
        stalled.wait(5)
        time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        ended.set()

    threading.Thread(target=press).start()
    started = time.monotonic()
    report = run(Stalled(1), Blur(Everybody()), Sink())
    assert report.frames == 1
    assert time.monotonic() - started < 5


def test_an_unknown_sync_is_refused() -> None:
    with pytest.raises(UsageError, match="exact, low-latency"):
        run(File(1), Blur(NullSession()), Sink(), sync="fast")  # type: ignore[arg-type]


def test_the_report_tells_lag_drops_and_the_networks_share() -> None:
    times = StageTimes()
    report = run(File(20), Blur(Everybody(), keyframes=4), Sink(), times=times)
    assert report.inferred == 0.25
    lag = report.lag_ms["median"]
    assert lag is not None
    assert lag >= sum(report.stages_ms[stage]["median"] or 0 for stage in ("refine", "composite"))
    for word in ("fps", "dropped 0", "network 25%", "infer", "sink", "ms"):
        assert word in times.line()


def test_a_bounded_queue_by_hand() -> None:
    queue: BoundedQueue[int] = BoundedQueue(2)
    assert queue.take(wait=False) is None
    assert queue.put(1)
    assert queue.put(2)
    assert queue.replace(3) == 1
    assert queue.take() == 2
    assert queue.replace(4) is None
    queue.end(ValueError("end"))
    assert [queue.take(), queue.take()] == [3, 4]
    with pytest.raises(ValueError, match="end"):
        queue.take()
    queue.close()
    assert queue.take() is None
    assert not queue.put(5)


def test_closing_a_queue_wakes_whoever_waits() -> None:
    full: BoundedQueue[int] = BoundedQueue(1)
    full.put(1)
    given: list[bool] = []
    giver = threading.Thread(target=lambda: given.append(full.put(2)))
    giver.start()
    full.close()
    giver.join(5)
    assert given == [False]
