"""`Blur` as a product would use it: its own example, stages and segmenters of one's own, blurred once, arrays used again."""

from __future__ import annotations

import doctest
import gc
import resource
import tracemalloc
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.errors import EdgesegError, UsageError
from edgeseg.runtime import Blur, Null, NullSession, Refinement, Shot, SyntheticCamera, Work, run
from edgeseg.runtime.arrays import Frame, Matte
from edgeseg.runtime.composite.backgrounds import Blurred
from edgeseg.spec import Spec
from tests.runtime.sources import Camera

STATE = np.random.default_rng(0)


class Constant:
    """A `Segmenter` of three lines: the same matte for every frame."""

    def __init__(self, value: float) -> None:
        self.spec: Spec = NullSession().spec
        self.value = value
        self.calls = 0

    def matte(self, frame: Frame) -> Matte:
        self.calls += 1
        return np.full((64, 64), self.value, np.float32)


def test_the_example_in_its_docstring() -> None:
    pytest.importorskip("ai_edge_litert")
    frame = STATE.integers(0, 256, (90, 160, 3), np.uint8)
    example = doctest.DocTestParser().get_doctest(Blur.__doc__ or "", {"Blur": Blur, "frame": frame}, "Blur", None, None)
    assert len(example.examples) == 4
    found: list[str] = []
    result = doctest.DocTestRunner().run(example, out=found.append)
    assert result.failed == 0, "".join(found)


def test_what_is_shown_is_blurred_once_and_by_its_strength() -> None:
    # The standard deviation of a step's derivative is that of the blur: 0.036 of 180 lines. Twice would be 1.41 times that.
    frame = np.zeros((180, 320, 3), np.uint8)
    frame[:, 160:] = 200
    out = Blur(Constant(0.0))(frame)
    slope = np.diff(out[90, :, 0].astype(float))
    x = np.arange(len(slope)) - slope.argmax()
    sigma = np.sqrt((slope * x**2).sum() / slope.sum() - ((slope * x).sum() / slope.sum()) ** 2)
    assert sigma == pytest.approx(0.036 * 180, rel=0.15)


HOW: list[dict[str, Any]] = [{}, {"background": "transparent"}, {"background": "#102030", "light_wrap": 0.5}, {"kind": "bokeh"}]


@pytest.mark.parametrize(("size", "how"), [*product([(1, 1), (4, 1), (479, 641), (90, 1)], HOW), ((2160, 3840), {})])
def test_any_size_in_every_manner(size: tuple[int, int], how: dict[str, Any]) -> None:
    frame = STATE.integers(0, 256, (*size, 3), np.uint8)
    blur = Blur(Constant(0.5), **how)
    for _ in range(2):
        out = blur(frame, 0.0)
        assert out.shape == frame.shape


def test_a_frame_or_a_result_that_is_not_contiguous() -> None:
    wide = STATE.integers(0, 256, (90, 320, 3), np.uint8)
    frame = wide[:, ::2]
    blur = Blur(NullSession(), smooth="off", keyframes="every")
    expected = blur(np.ascontiguousarray(frame), 0.0)
    np.testing.assert_array_equal(blur(frame, 0.0), expected)
    room = np.zeros_like(wide)
    assert np.shares_memory(blur(frame, 0.0, out=room[:, ::2]), room)
    np.testing.assert_array_equal(room[:, ::2], expected)
    assert not room[:, 1::2].any()


def test_own_stages_see_what_was_left_and_change_what_comes() -> None:
    blur = Blur(NullSession(), background="#ff0000", smooth="off")
    seen: list[str] = []

    @blur.after_infer
    def nobody_on_the_left(work: Work) -> None:
        assert work.alpha is None
        assert work.matte is not None
        work.matte[:, :32] = 0
        seen.append("infer")

    @blur.after_refine
    def a_hand_at_the_right(work: Work) -> None:
        assert work.alpha is not None
        work.alpha[10:20, -10:] = 255
        seen.append("refine")

    @blur.after_composite
    def stamped(work: Work) -> None:
        work.out[:4, :4] = 7
        seen.append("composite")

    frame = np.full((180, 320, 3), 90, np.uint8)
    out = blur(frame)
    assert seen == ["infer", "refine", "composite"]
    assert (out[15, 315] == 90).all()
    assert out[110, 130].tolist() == [0, 0, 255]  # the ellipse of the null session reaches from 80 to 240
    assert out[110, 190].tolist() == [90, 90, 90]
    assert (out[:4, :4] == 7).all()
    assert (frame == 90).all()


def test_a_stage_may_put_an_alpha_of_its_own() -> None:
    blur = Blur(NullSession(), background="#ff0000")

    @blur.after_refine
    def mirrored(work: Work) -> None:
        assert work.alpha is not None
        work.alpha = work.alpha[:, ::-1]  # not contiguous, and not ours

    assert blur(np.full((90, 160, 3), 90, np.uint8))[60, 80].tolist() == [90, 90, 90]


def test_a_blur_that_is_drawn_otherwise(way: str) -> None:
    class Grey(Blurred):
        def draw(self, work: Work) -> None:
            work.out[:] = 128

    with Blur(Constant(0.0), background=Grey()) as blur:
        out = blur(STATE.integers(0, 256, (90, 160, 3), np.uint8))
    assert (out == 128).all(), way


def test_an_own_background() -> None:
    class Stripes:
        replaces = True

        def draw(self, work: Work) -> None:
            work.out[:] = 0
            work.out[::2] = 255

        def close(self) -> None:
            self.closed = True

    stripes = Stripes()
    with Blur(Constant(0.0), background=stripes) as blur:
        out = blur(np.full((8, 8, 3), 90, np.uint8))
    assert out[:, 0, 0].tolist() == [255, 0] * 4
    assert stripes.closed


@pytest.mark.parametrize(
    "bad",
    [
        {"keyframes": 0},
        {"keyframes": "seldom"},
        {"smooth": "much"},
        {"light_wrap": 2.0},
        {"strength": -1.0},
        {"kind": "square"},
        {"refinement": "sharp"},
    ],
)
def test_what_cannot_be_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(EdgesegError if "refinement" not in bad else (UsageError, AttributeError)):
        Blur(NullSession(), **bad)


MANNERS: list[dict[str, Any]] = [
    {},
    {"background": "#00ff00"},
    {"background": "transparent"},
    {"light_wrap": 0.5},
    {"kind": "box", "strength": 1.0},
    {"refinement": Refinement("bilateral")},
    {"smooth": "ema", "largest": True, "keyframes": "every"},
]


@pytest.mark.parametrize("how", MANNERS, ids=str)
def test_nothing_of_a_frames_size_is_allocated_while_a_video_runs(how: dict[str, Any]) -> None:
    camera = SyntheticCamera((720, 1280))
    frames = [camera.frame(index) for index in range(4)]
    out = np.empty_like(frames[0])
    session = NullSession()
    matte = session.matte(frames[0])
    session.matte = lambda frame: matte.copy()  # type: ignore[method-assign]  # its input tensor is the backend's affair
    blur = Blur(session, **how)
    for index in range(6):
        blur(frames[index % 4], 0.0, out)
    tracemalloc.start()
    try:
        for index in range(4):
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            blur(frames[index], 0.0, out)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < 720 * 1280  # bytes: of all together less than a byte a pixel, where a frame has three
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory in use is read from /proc")
def test_memory_does_not_grow_at_1080p() -> None:
    """The short form of benchmarks/memory.py."""

    def kilobytes() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024

    blur = Blur(NullSession())
    run(Camera(20, size_hw=(1080, 1920)), blur, Null())
    before = kilobytes()
    run(Camera(30, size_hw=(1080, 1920)), blur, Null())
    assert kilobytes() - before < 40_000  # a line's works once more; thirty frames would be 185 MB


def test_blurred_keeps_its_arrays() -> None:
    work = Work().load(Shot(np.zeros((720, 1280, 3), np.uint8), 0.0))
    work.alpha = np.zeros((720, 1280), np.uint8)
    background = Blurred()
    background.draw(work)
    first = work.out
    background.draw(work)
    assert work.out is first
