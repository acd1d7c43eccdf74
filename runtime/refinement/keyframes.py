"""Inference only when needed: most frames of a talk are so like the one before that its matte still fits.

The network runs on keyframes. In between its matte is carried: as it is where the picture stands still, along the optical flow
where it moves; the guided filter fits it to each frame's own edges afterwards. A frame becomes a keyframe

- when what is new in the pictures since the last one, flow taken out, is more than a small part of the frame;
- or when the last is `interval` frames ago. The interval follows what carrying has been seen to cost: every keyframe tells by
  how much the carried matte was off. Where that is little the interval grows, where it is much it shrinks.

Differences are counted where they stand out of the camera's own noise, which is measured: in low light everything differs.
Shelhamer et al., "Clockwork Convnets", 2016; Li, Shi & Lin, "Low-Latency Video Semantic Segmentation", 2018.
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np

from edgeseg.errors import UsageError
from edgeseg.runtime.arrays import Alpha, Matte
from edgeseg.runtime.refinement.flow import Tracker, carry

Policy = Literal["auto", "every"] | int

LONGEST = 6  # frames that one inference serves at the most
GOOD, BAD = 0.015, 0.02  # 1 - IoU of the carried and the new matte, below which the interval grows and above which it shrinks
FLOOR = 6  # a luma difference of fewer bytes is never motion
SIGMAS = 4  # of the noise, that a difference must exceed to be motion
NOISIEST = 5.0  # bytes of luma: no camera is worse, once a picture is as small as this; whatever is more is motion
STILL = 0.002  # share of the frame that may differ before flow is worth its time
NEW = 0.018  # share of the frame that flow has not explained since the last keyframe, from which on the network must look


class Keyframes:
    """Decides for each frame whether the network must look, and carries its matte to those where it need not.

            matte = keyframes.carried(luma)     # for every frame
        if keyframes.due:
            matte = network(frame)
            keyframes.accept(matte)

    policy  "auto"; "every" frame; or a number n: every n-th frame, come what may
    """

    def __init__(self, policy: Policy = "auto") -> None:
        if policy not in ("auto", "every") and not (isinstance(policy, int) and policy >= 1):
            raise UsageError(f"keyframes must be auto, every, or a number from 1 on; got {policy!r}")
        self._policy = 1 if policy == "every" else policy
        self._track = Tracker()
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next frame comes from somewhere else."""
        self.due = True
        self.age = 0  # frames since the last keyframe, this one included
        self._interval = 2 if self._policy == "auto" else int(self._policy)
        self._new = 0.0
        self._matte: Matte | None = None
        self._key: Any = None
        self._before: Any = None
        self._noise = _Noise()

    def carried(self, luma: Alpha) -> Matte | None:
        """The matte of the last keyframe, carried to this frame; None where there is none that still holds. Sets `due`, `age`.

        luma  (h, w) uint8, small: 160 x 90 or so; of the same size as before
        """
        self.age += 1
        if self._policy == 1:
            return None
        luma = cv2.blur(luma, (3, 3))  # type: ignore[assignment]
        if self._matte is None or luma.shape != self._before.shape:
            self._matte, self.due = None, True
        else:
            self.due = self.age >= self._interval
            self._carry(luma)
        self._before = luma
        if self.due and (self._new > NEW or self.age > LONGEST):
            return None  # the network must look; should it fail, this one is not to be trusted
        return self._matte

    def accept(self, matte: Matte) -> None:
        """The network's matte for the frame that `carried` has just seen; how far off the carried one was sets the interval."""
        if self._policy == "auto" and self._matte is not None and self._matte.shape == matte.shape:
            off = difference(self._matte, matte)
            if off > BAD:
                self._interval = max(1, self._interval - 1 if off < 2 * BAD else self._interval // 2)
            elif off < GOOD:
                self._interval = min(LONGEST, self._interval + 1)
        self._matte, self._key, self._new, self.age = matte, self._before, 0.0, 0

    def _carry(self, luma: Alpha) -> None:
        least = max(FLOOR, SIGMAS * self._noise(cv2.absdiff(luma, self._before)))
        if _share(luma, self._key, least) <= STILL:
            return
        flow = self._track(self._before, luma)
        if flow is None:
            self._new = 1.0
        else:
            self._new += _share(luma, carry(self._before, flow), least)
            self._matte = carry(self._matte, flow)
        if self._policy == "auto" and self._new > NEW:
            self.due = True


def difference(a: Matte, b: Matte) -> float:
    """1 - IoU of two soft mattes (h, w) in 0..1. Less than 2 % of the frame counts as 2 %: what an empty room has is noise."""
    union = float(np.maximum(a, b).sum())
    return (union - float(np.minimum(a, b).sum())) / max(union, 0.02 * a.size)


def _share(a: Alpha, b: Alpha, least: float) -> float:
    """The share of pixels that differ by more than `least`."""
    _, differs = cv2.threshold(cv2.absdiff(a, b), least, 255, cv2.THRESH_BINARY)
    return cv2.countNonZero(differs) / a.size


class _Noise:
    """The camera's noise, in bytes of luma: the median difference of neighbouring frames.

    Quickly down and slowly up: while most of the picture moves, the median is motion.
    """

    def __init__(self) -> None:
        self._sigma: float | None = None

    def __call__(self, change: Any) -> float:
        counts = cv2.calcHist([change], [0], None, [256], [0, 256]).ravel().cumsum()
        median = float(np.searchsorted(counts, change.size / 2))
        sigma = min(NOISIEST, 1.4826 * median)  # as it is with a normal distribution
        if self._sigma is None:
            self._sigma = sigma
        else:
            self._sigma += (0.3 if sigma < self._sigma else 0.02) * (sigma - self._sigma)
        return self._sigma
