"""The pipeline: frame -> matte -> refined alpha -> composite, one frame at a time, and the loop from a source to a sink."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from edgeseg import assets
from edgeseg.errors import EdgesegError, ModelError
from edgeseg.runtime.arrays import Alpha, Frame, Matte
from edgeseg.runtime.backends import BackendName
from edgeseg.runtime.backgrounds import Background, open_background
from edgeseg.runtime.capture import Source, check_frame
from edgeseg.runtime.composite import blend, clean_room, veil
from edgeseg.runtime.refine import Smoother, finish, fit, plane_size
from edgeseg.runtime.session import Session, open_session
from edgeseg.runtime.sinks import Sink
from edgeseg.runtime.stages import StageTimes
from edgeseg.runtime.tensors import shrink

PATIENCE = 10  # failed inferences in a row, after which the model is given up


class Blur:
    """Portrait mode, or a virtual background: `out = blur(frame)`.

        with Blur(background="beach.jpg") as blur:
            for frame in frames:
                show(blur(frame))

    model       a name from `edgeseg models`, the path of a .tflite or .onnx file, or an open `Session`
    background  "blur", "#rrggbb", the path of a picture or a video, or a `Background`
    strength    of the blur, 0..1
    smooth      steady the matte in time; off for unrelated pictures

    The room is never shown as it is: where inference fails the whole frame is hidden, and after ten failures in a row
    ModelError is raised. Raises ModelError also for a model that knows no person.
    """

    def __init__(
        self,
        model: str | Path | Session = assets.DEFAULT,
        *,
        background: str | Path | Background = "blur",
        strength: float = 0.5,
        smooth: bool = True,
        backend: BackendName = "auto",
        threads: int = 1,
    ) -> None:
        self.background = open_background(background, strength) if isinstance(background, str | Path) else background
        self.session = model if isinstance(model, Session) else open_session(model, backend=backend, threads=threads)
        if self.session.spec.person_class is None:
            raise ModelError(f"model {self.session.spec.model} has no person class; use a person model, or edgeseg segment")
        self._smoother = Smoother() if smooth else None
        self._failures = 0

    def __enter__(self) -> Blur:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.background.close()

    def __call__(self, frame: Frame, time_s: float | None = None, out: Frame | None = None) -> Frame:
        """`frame` (h, w, 3) uint8 BGR with its background blurred or replaced; `frame` itself is not changed.

        time_s  when the frame was taken, for a video background; now, if None
        out     where to put the result, of the frame's shape; a new array, if None
        """
        check_frame(frame)
        matte = self.infer(frame)
        alpha = None if matte is None else self.refine(frame, matte)
        return self.composite(frame, alpha, time.monotonic() if time_s is None else time_s, out)

    def infer(self, frame: Frame) -> Matte | None:
        """The raw matte at the model's own size, or None where inference failed."""
        try:
            matte = self.session.matte(frame)
        except EdgesegError:
            self._failures += 1
            if self._failures >= PATIENCE:
                raise
            return None
        self._failures = 0
        return matte

    def refine(self, frame: Frame, matte: Matte) -> Alpha:
        """The finished matte, (h, w) uint8."""
        height, width = frame.shape[:2]
        small = shrink(frame, plane_size(height, width))
        if self._smoother is not None:
            matte = self._smoother(small, matte)
        return finish(fit(small, matte), (height, width))

    def composite(self, frame: Frame, alpha: Alpha | None, time_s: float = 0.0, out: Frame | None = None) -> Frame:
        """The person over the background; without `alpha`, nothing that could be recognised."""
        out = np.empty_like(frame) if out is None else out
        if alpha is None:
            if self.background.replaces:
                self.background.draw(frame, np.zeros(frame.shape[:2], np.uint8), time_s, out)
            else:
                veil(frame, out)
            return out
        self.background.draw(frame, alpha, time_s, out)
        blend(frame, alpha, out, clean_room(frame, alpha) if self.background.replaces else None)
        return out

    def reset(self) -> None:
        """Forget earlier frames: the next comes from somewhere else."""
        if self._smoother is not None:
            self._smoother.reset()


@dataclass(frozen=True)
class RunReport:
    """What a run did. `stages_ms`: for each stage its "median" and "p95"."""

    frames: int
    dropped: int  # by the camera, since a newer frame had come
    fps: float  # frames written, by wall clock
    size_hw: tuple[int, int]
    stages_ms: dict[str, dict[str, float | None]]
    model: str

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def limit_threads(threads: int) -> None:
    """Hold OpenCV, for the whole process, to `threads`.

    Left alone it takes every core: for pictures of this size that is slower, and it takes the cores from inference.
    """
    cv2.setNumThreads(threads)


def run(source: Source, blur: Blur, sink: Sink, progress: Callable[[int, int | None], None] | None = None) -> RunReport:
    """Every frame of an opened `source` through `blur` into an opened `sink`, until the source ends or the sink is closed.

    progress  is called after each frame with the frames done and the frames in all (None where there is no end)

    KeyboardInterrupt ends it as the end of the source does: what was written so far is kept.
    """
    times = StageTimes()
    out: Frame | None = None
    done = 0
    start_s = time.perf_counter()
    shots = iter(source)
    try:
        while True:
            with times.of("capture"):
                shot = next(shots, None)
            if shot is None:
                break
            if source.still:
                blur.reset()
            with times.of("infer"):
                matte = blur.infer(shot.frame)
            alpha = None
            if matte is not None:
                with times.of("refine"):
                    alpha = blur.refine(shot.frame, matte)
            with times.of("composite"):
                fits = out is not None and out.shape == shot.frame.shape
                out = blur.composite(shot.frame, alpha, shot.time_s, out if fits else None)
            with times.of("sink"):
                wanted = sink.write(shot._replace(frame=out))
            done += 1
            if progress is not None:
                progress(done, source.frames)
            if not wanted:
                break
    except KeyboardInterrupt:
        pass
    return RunReport(
        frames=done,
        dropped=source.dropped,
        fps=round(done / max(time.perf_counter() - start_s, 1e-9), 2),
        size_hw=source.size_hw,
        stages_ms=times.summary(),
        model=blur.session.spec.model,
    )
