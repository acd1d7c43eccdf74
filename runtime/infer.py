"""The coarse matte of each frame: from the network on keyframes, carried in between, and steadied."""

from __future__ import annotations

from typing import Any, Literal

import cv2

from edgeseg.errors import ModelError, UsageError
from edgeseg.runtime.arrays import Alpha, Frame, Matte
from edgeseg.runtime.refinement.keyframes import Keyframes, Policy
from edgeseg.runtime.refinement.morphology import LargestPerson
from edgeseg.runtime.refinement.smoothing import Smoother
from edgeseg.runtime.session import Session
from edgeseg.runtime.tensors import shrink
from edgeseg.runtime.work import Segmenter, Work

Smoothing = Literal["motion", "ema", "off"]
SMOOTHERS: dict[str, Any] = {
    "motion": Smoother,
    "ema": lambda: Smoother(motion=float("inf")),
    "off": lambda: None,
}


class Inference:
    """A stage: sets `work.matte`, or leaves it None where nothing is known. Keeps what it needs of earlier frames.

    smooth     "motion" steadies what stands still, "ema" everything, "off" nothing
    largest    of several persons only the largest counts
    """

    def __init__(self, segmenter: Segmenter, keyframes: Policy, smooth: Smoothing, largest: bool) -> None:
        if segmenter.spec.person_class is None:
            raise ModelError(f"model {segmenter.spec.model} has no person class; use a person model, or edgeseg segment")
        if smooth not in SMOOTHERS:
            raise UsageError(f"there is no smoothing {smooth!r}; there are: {', '.join(SMOOTHERS)}")
        self._segmenter = segmenter
        self._keyframes = Keyframes(keyframes)
        self._smoother: Smoother | None = SMOOTHERS[smooth]()
        self._largest = LargestPerson() if largest else None
        self.frames = self.inferred = 0  # of which the network has seen so many

    def __call__(self, work: Work) -> None:
        """EdgesegError where the network failed; `work.matte` is then the one carried from before, where that still holds."""
        self.frames += 1
        luma = half_luma(work.plane)
        work.matte = self._keyframes.carried(luma)
        if self._keyframes.due:
            work.matte = self._look(work, luma)

    def reset(self) -> None:
        """Forget earlier frames: the next comes from somewhere else."""
        self._keyframes.reset()
        for part in (self._smoother, self._largest):
            if part is not None:
                part.reset()

    def _look(self, work: Work, luma: Alpha) -> Matte:
        segmenter = self._segmenter
        if isinstance(segmenter, Session):  # which may have another file for frames of this shape
            segmenter = segmenter.for_frame(work.frame)
        matte = segmenter.matte(work.at_least(segmenter.spec.size))
        self.inferred += 1
        if self._largest is not None:
            matte = self._largest(matte)
        if self._smoother is not None:
            matte = self._smoother(luma, matte, self._keyframes.age)
        self._keyframes.accept(matte)
        return matte


def half_luma(plane: Frame) -> Alpha:
    """(h, w) uint8, half as large as the plane (h', w', 3): 160 x 90 or so."""
    size = (max(1, plane.shape[0] // 2), max(1, plane.shape[1] // 2))
    return cv2.cvtColor(shrink(plane, size), cv2.COLOR_BGR2GRAY)  # type: ignore[return-value]
