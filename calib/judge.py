"""How well a rounded graph answers as the float network did, and which of several answers best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from edgeseg.calib.simulate import rounded

EQUAL_DB = 200.0  # of logits that are equal bit for bit
NOISE = 1.1  # two shares of changed pixels that differ by less than this factor on a few dozen pictures are no different


@dataclass(frozen=True)
class Candidate:
    """A way to find ranges, and how near its logits came to the float network's."""

    observer: str  # a key of `edgeseg.calib.observers.OBSERVERS`
    equalised: bool
    corrected: bool  # biases
    sqnr_db: float  # signal to quantisation noise of the logits
    agreement: float  # share of the logits' places that keep their class

    @property
    def changed(self) -> float:
        """Share of the logits' places that get another class."""
        return 1 - self.agreement


@torch.no_grad()
def score(
    prepared: fx.GraphModule,
    images: Sequence[Tensor],
    references: Sequence[Tensor],
    tick: Callable[[], None] = lambda: None,
) -> tuple[float, float]:
    """(SQNR in dB, agreement) of `prepared`, rounded by the ranges chosen, on `images`.

    references  the float network's logits, (1, c, h', w') each; one channel is the logit of class 1
    tick        called after each image
    """
    signal = noise = 0.0
    same = places = 0
    with rounded(prepared):
        for image, reference in zip(images, references, strict=True):
            logits = prepared(image)
            signal += float(reference.double().square().sum())
            noise += float((logits.double() - reference.double()).square().sum())
            hit = classes(logits) == classes(reference)
            same += int(hit.sum())
            places += hit.numel()
            tick()
    return decibels(signal, noise), same / places


def classes(logits: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, h, w) class ids."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def decibels(signal: float, noise: float) -> float:
    """10 log10 of the ratio, within +-EQUAL_DB; the least where it is not a number."""
    if not math.isfinite(signal) or not math.isfinite(noise) or signal == 0 < noise:
        return -EQUAL_DB
    return EQUAL_DB if noise == 0 else max(-EQUAL_DB, min(EQUAL_DB, 10 * math.log10(signal / noise)))


def best(candidates: Sequence[Candidate]) -> Candidate:
    """The one that changes the class of the fewest pixels; of those that are no different in that, the one with the most SQNR.

    Of equals the first.
    """
    fewest = min(candidate.changed for candidate in candidates)
    return max((c for c in candidates if c.changed <= fewest * NOISE), key=lambda c: c.sqnr_db)
