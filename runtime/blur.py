"""Portrait mode and virtual backgrounds, one frame at a time: infer, refine, composite."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np

from edgeseg import assets
from edgeseg.runtime import native
from edgeseg.runtime.arrays import Frame, Shot
from edgeseg.runtime.backends import BackendName
from edgeseg.runtime.buffers import Buffers
from edgeseg.runtime.composite.backgrounds import Background, Blurred, Transparent, open_background
from edgeseg.runtime.composite.blend import blend, veil
from edgeseg.runtime.composite.edge_colours import add_light, check_light_wrap, clean_room, cut_out, wrapped_light
from edgeseg.runtime.composite.masked_blur import Kind
from edgeseg.runtime.infer import Inference, Smoothing
from edgeseg.runtime.patience import Patience
from edgeseg.runtime.refinement.keyframes import Policy
from edgeseg.runtime.refinement.refiner import Refinement, Refiner
from edgeseg.runtime.session import open_session
from edgeseg.runtime.work import Segmenter, Stage, Work


class Blur:
    """Portrait mode, or a virtual background: `out = blur(frame)`.

        with Blur(background="beach.jpg") as blur:
            for frame in frames:
                show(blur(frame))

    A stage of your own runs after one of ours, and sees and changes what that has left in the frame's `Work`:

        >>> blur = Blur(background="green")
        >>> @blur.after_refine
        ... def hide_the_left_half(work):
        ...     work.alpha[:, : work.alpha.shape[1] // 2] = 0
        >>> out = blur(frame)
        >>> out[0, 0].tolist()
        [64, 177, 0]

    model       a name from `edgeseg models`, the path of a .tflite or .onnx file, an open `Session`, or a `Segmenter` of yours
    background  "blur", "green", "#rrggbb", "transparent", the path of a picture or a video, or a `Background` of yours
    strength    of the blur, 0..1;  kind  of the blur: "gaussian", "box" or "bokeh"
    light_wrap  how much of a background's light falls on the person's edge, 0..1
    keyframes   which frames the network looks at: "auto", as few as the picture allows; "every"; or a number n, every n-th
    smooth      "motion" steadies the matte where nothing moves; "ema" everywhere; "off", for pictures of different things
    refinement  how the matte is fitted to the picture;  largest  only the largest of several persons counts

    The room is never shown as it is: where a stage fails the whole frame is hidden, and after ten failures in a row the error
    is raised. Raises ModelError also for a model that knows no person.
    """

    def __init__(
        self,
        model: str | Path | Segmenter = assets.DEFAULT,
        *,
        background: str | Path | Background = "blur",
        strength: float = 0.5,
        kind: Kind = "gaussian",
        light_wrap: float = 0.0,
        keyframes: Policy = "auto",
        smooth: Smoothing = "motion",
        refinement: Refinement | None = None,
        largest: bool = False,
        backend: BackendName = "auto",
        threads: int = 1,
    ) -> None:
        self.light_wrap = check_light_wrap(light_wrap)
        self.kind = kind
        self.background = open_background(background, strength, kind) if isinstance(background, str | Path) else background
        self.session = open_session(model, backend=backend, threads=threads) if isinstance(model, str | Path) else model
        self.inference = Inference(self.session, keyframes, smooth, largest)
        self.patience = Patience()
        self._refiner = Refiner(refinement)
        self._buffers = Buffers()  # of `composite`
        self._work = Work()  # of `__call__`
        self._after: dict[str, list[Stage]] = {"infer": [], "refine": [], "composite": []}

    def __enter__(self) -> Blur:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.background.close()

    def __call__(self, frame: Frame, time_s: float | None = None, out: Frame | None = None) -> Frame:
        """`frame` (h, w, 3) uint8 BGR with its background blurred or replaced; `frame` itself is not changed.

        time_s  when the frame was taken, for a video background; now, if None
        out     where to put the result, of the frame's shape; a new array, if None
        """
        shot = Shot(frame, time.monotonic() if time_s is None else time_s)
        target = np.empty_like(frame, order="C") if out is None or not out.flags.c_contiguous else out
        work = self._work.load(shot, target)
        self.infer(work)
        self.refine(work)
        self.composite(work)
        if out is not None and out is not target:
            np.copyto(out, target)
        return target if out is None else out

    def after_infer(self, stage: Stage) -> Stage:
        """Run `stage` where `work.matte` has been found."""
        self._after["infer"].append(stage)
        return stage

    def after_refine(self, stage: Stage) -> Stage:
        """Run `stage` where `work.alpha` has been finished."""
        self._after["refine"].append(stage)
        return stage

    def after_composite(self, stage: Stage) -> Stage:
        """Run `stage` where `work.out` has been drawn. It is not run on frames that are hidden."""
        self._after["composite"].append(stage)
        return stage

    def infer(self, work: Work) -> None:
        """Sets `work.matte`; where inference failed, to one that still holds, or to None."""
        self._attempt("infer", self.inference, work)
        if work.matte is not None and not self._attempt("after infer", self._run_own("infer"), work):
            work.matte = None

    def refine(self, work: Work) -> None:
        """Sets `work.alpha` where there is a matte; None where that failed."""
        if work.matte is None:
            return
        good = self._attempt("refine", self._finish, work) and self._attempt("after refine", self._run_own("refine"), work)
        if not good:
            work.alpha = None

    def composite(self, work: Work) -> None:
        """Sets `work.out`: the person over the background; without `work.alpha`, nothing that could be recognised."""
        good = (
            work.alpha is not None
            and self._attempt("composite", self._compose, work)
            and self._attempt("after composite", self._run_own("composite"), work)
        )
        if not good:
            work.alpha = None
            hide(work, self.background)

    def reset(self) -> None:
        """Forget earlier frames: the next comes from somewhere else. Not while another thread is in `infer`."""
        self.inference.reset()

    def _run_own(self, name: str) -> Callable[[Work], None]:
        def run_all(work: Work) -> None:
            for stage in self._after[name]:
                stage(work)

        return run_all

    def _attempt(self, name: str, stage: Callable[[Work], None], work: Work) -> bool:
        try:
            stage(work)
        except Exception as error:
            self.patience.failed(name, error)
            return False
        self.patience.went_well(name)
        return True

    def _finish(self, work: Work) -> None:
        assert work.matte is not None
        plane, alpha = self._refiner.fit(work.plane, work.matte), work.new_alpha()
        chunks = self._refiner.finish(plane, alpha)
        work.alpha = alpha
        if not self._after["refine"]:
            work.chunks, work.coarse = chunks, self._refiner.step(plane)

    def _compose(self, work: Work) -> None:
        assert work.alpha is not None
        work.alpha = np.ascontiguousarray(work.alpha)  # a stage may have put one of its own there
        if isinstance(self.background, Transparent):
            cut_out(work, clean_room(work, self._buffers), self._buffers)
            return
        if type(self.background) is Blurred and not self.light_wrap and native.available():  # a subclass may draw otherwise
            small, alike = self.background.soften(work)
            native.compose(work.frame, work.alpha, small, work.out, alike)
            return
        self.background.draw(work)
        light = wrapped_light(work, self.light_wrap, self._buffers) if self.light_wrap else None
        room = clean_room(work, self._buffers) if self.background.replaces else None
        blend(work.frame, work.alpha, work.out, room, self._buffers, work.chunks)
        if light is not None:
            add_light(work.out, light, self._buffers)


def hide(work: Work, background: Background) -> None:
    """All of `work.frame` hidden, in `work.out`: by a background that leaves nothing of it, or blurred beyond recognition."""
    if background.replaces:
        work.alpha = work.new_alpha()
        work.alpha[:] = 0
        try:
            background.draw(work)
            return
        except Exception:  # it may be what failed
            pass
        finally:
            work.alpha = None
    veil(work.frame, work.out)
