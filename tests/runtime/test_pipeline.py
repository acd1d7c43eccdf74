"""The pipeline: the mask belongs to its frame, the room stays hidden, a run reports what it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import ModelError, ShapeError
from edgeseg.runtime import Blur, Null, NullSession, Pictures, Session, Shot, SyntheticCamera, open_session, run
from edgeseg.runtime.arrays import Tensor
from edgeseg.runtime.patience import PATIENCE
from edgeseg.runtime.picture import write_picture
from edgeseg.runtime.stages import KEPT, StageTimes
from tests.runtime.tiny_models import ONNX_SPEC, write_onnx


class Failing(NullSession):
    """Fails in the frames whose numbers are in `bad`."""

    def __init__(self, bad: set[int]) -> None:
        super().__init__()
        self.bad = bad
        self.count = -1

    def run(self, tensor: Tensor) -> Tensor:
        self.count += 1
        if self.count in self.bad:
            raise ModelError("out of luck")
        return super().run(tensor)


class Kept(Null):
    """Keeps a copy of what is written."""

    def __init__(self, enough: int = 10**9) -> None:
        self.shots: list[Shot] = []
        self.enough = enough

    def write(self, shot: Shot) -> bool:
        self.shots.append(shot._replace(frame=shot.frame.copy()))
        return len(self.shots) < self.enough


@pytest.fixture
def red_session(tmp_path: Path) -> Session:
    return open_session(write_onnx(tmp_path / "red.onnx"))


def shows_the_wall(out: np.ndarray, frame: np.ndarray) -> float:
    """Share of the frame's horizontal detail (its striped wall) that is left in `out`."""
    return float(
        np.abs(np.diff(out[:20].astype(float), axis=1)).sum() / np.abs(np.diff(frame[:20].astype(float), axis=1)).sum()
    )


def test_the_mask_is_of_its_own_frame(red_session: Session) -> None:
    camera = SyntheticCamera((180, 320), frames=8)
    sink = Kept()
    with Blur(red_session, background="#0000ff") as blur:
        run(camera, blur, sink)
    for index, shot in enumerate(sink.shots):
        person = shot.frame[..., 2] > 150
        truth = camera.alpha(index) > 0
        both = (person & truth).sum() / (person | truth).sum()
        late = (person & (camera.alpha(index - 1) > 0)).sum() / (person | (camera.alpha(index - 1) > 0)).sum()
        assert both > 0.75  # the network's pixels are 40 x 22 of the frame's
        assert index == 0 or both > late + 0.1


@pytest.mark.parametrize("background", ["blur", "#0000ff"])
def test_the_room_is_hidden_when_the_first_inference_fails(background: str) -> None:
    camera = SyntheticCamera((180, 320), frames=3)
    sink = Kept()
    with Blur(Failing({0}), background=background, strength=0.0) as blur:
        report = run(camera, blur, sink)
    assert report.frames == 3
    assert shows_the_wall(sink.shots[0].frame, camera.frame(0)) < 0.02
    person = sink.shots[0].frame[camera.alpha(0) > 0].astype(int)
    assert np.abs(person - (40, 40, 220)).mean() > 25  # and so is the person
    assert (sink.shots[1].frame[108, 160] == camera.frame(1)[108, 160]).all()  # then it goes on


def test_a_model_that_keeps_failing_is_an_error() -> None:
    sink = Null()
    with pytest.raises(ModelError, match="out of luck"), Blur(Failing(set(range(99)))) as blur:
        run(SyntheticCamera(frames=50), blur, sink)
    assert sink.frames == PATIENCE - 1


@pytest.mark.parametrize("size", [(1, 1), (479, 641), (90, 1), (720, 1280)])
@pytest.mark.parametrize("background", ["blur", "#102030"])
def test_any_size_and_the_input_is_left_alone(size: tuple[int, int], background: str) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    before = frame.copy()
    with Blur(NullSession(), background=background) as blur:
        out = blur(frame)
        again = blur(frame)
    assert out.shape == frame.shape
    assert out.dtype == np.uint8
    assert out is not again
    assert not np.shares_memory(out, again)  # a caller may keep what it got
    np.testing.assert_array_equal(frame, before)


def test_the_person_is_kept_to_the_byte_and_the_corner_is_not() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    out = Blur(NullSession(), smooth="off")(frame)
    inside = NullSession().matte(frame)[38, 32]
    assert inside > 0.99
    np.testing.assert_array_equal(out[215:217, 319:321], frame[215:217, 319:321])
    assert out[:40, :40].std() < 0.3 * frame[:40, :40].std()


def test_out_is_written_in_place() -> None:
    frame = np.zeros((36, 64, 3), np.uint8)
    out = np.empty_like(frame)
    assert Blur(NullSession())(frame, out=out) is out


@pytest.mark.parametrize("frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_frame_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(ShapeError):
        Blur(NullSession())(frame)


def test_a_model_without_people_is_refused(tmp_path: Path) -> None:
    import dataclasses

    spec = dataclasses.replace(ONNX_SPEC, person_class=None)
    with pytest.raises(ModelError, match="no person class"):
        Blur(write_onnx(tmp_path / "m.onnx", spec))


def test_the_report_and_the_progress() -> None:
    calls: list[tuple[int, int | None]] = []
    with Blur(NullSession()) as blur:
        report = run(SyntheticCamera((90, 160), frames=4), blur, Null(), lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    json = report.to_json()
    assert set(json) >= {"frames", "dropped", "fps", "size_hw", "stages_ms", "model"}
    assert (json["frames"], json["dropped"], json["size_hw"], json["model"]) == (4, 0, (90, 160), "null")
    assert list(report.stages_ms) == ["capture", "infer", "refine", "composite", "sink"]
    for times in report.stages_ms.values():
        median, p95 = times["median"], times["p95"]
        assert median is not None
        assert p95 is not None
        assert 0 <= median <= p95


def test_a_closed_sink_ends_the_run() -> None:
    with Blur(NullSession()) as blur:
        assert run(SyntheticCamera(frames=50), blur, Kept(enough=3)).frames == 3


def test_ctrl_c_ends_the_run_with_what_was_done() -> None:
    def interrupt(done: int, _: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with Blur(NullSession()) as blur:
        assert run(SyntheticCamera(frames=50), blur, Null(), interrupt).frames == 2


def test_pictures_do_not_show_through_to_the_next(tmp_path: Path) -> None:
    # Two pictures of the same size that differ in nothing but the person: a smoother that went on would mix them.
    session = open_session(write_onnx(tmp_path / "red.onnx"))
    for name, colour in (("a", (20, 20, 21)), ("b", (20, 20, 20))):
        write_picture(tmp_path / f"{name}.png", np.full((64, 64, 3), colour, np.uint8))
    alone, after = Kept(), Kept()
    with Blur(session, background="#ffffff") as blur, Pictures([tmp_path / "b.png"]) as source:
        run(source, blur, alone)
    with Blur(session, background="#ffffff") as blur, Pictures([tmp_path / "a.png", tmp_path / "b.png"]) as source:
        run(source, blur, after)
    np.testing.assert_array_equal(alone.shots[0].frame, after.shots[1].frame)
    assert not (after.shots[0].frame == after.shots[1].frame).all()


def test_stage_times_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.001, 1.0, 1.003, 2.0, 2.002])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    times = StageTimes()
    for _ in range(3):
        with times.of("infer"):
            pass
    assert times.summary()["infer"] == {"median": 2.0, "p95": 2.9}
    assert times.summary()["sink"] == {"median": None, "p95": None}


def test_times_of_a_long_run_are_the_newest_and_take_no_more_memory() -> None:
    times = StageTimes()
    ring = times._times_ms["infer"]._ring
    for index in range(KEPT + 3):
        times._times_ms["infer"].append(float(index))
    assert times._times_ms["infer"].last(2).tolist() == [KEPT + 1, KEPT + 2]
    assert times.summary()["infer"]["median"] == (KEPT + 2 + 3) / 2  # 3 .. KEPT + 2
    assert times._times_ms["infer"]._ring is ring
    assert times.summary()["sink"] == {"median": None, "p95": None}
