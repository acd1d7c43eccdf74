"""How a network is trained over time: learning rate and picture size by progress, and how much time is left.

On two cores with bf16 arithmetic the shipped person network trains on 41 pictures/s of 256x256, against 27 in float32, and
on 117 of 128x128: so pictures are small first and full-sized last (Howard 2018, "progressive resizing").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from edgeseg.train.samples import Augmentation, Size

# Share of the peak learning rate by progress 0..1.
POLICIES: dict[str, Callable[[float], float]] = {
    "cosine": lambda progress: 0.005 + 0.995 * (1 + math.cos(math.pi * progress)) / 2,  # to nearly nothing
    "poly": lambda progress: (1 - progress) ** 0.9,  # Chen et al. 2017, DeepLab
}
# (from progress, share of the picture's size)
GROWING = ((0.0, 0.5), (0.3, 0.75), (0.7, 1.0))
FULL = ((0.0, 1.0),)


@dataclass(frozen=True)
class Schedule:
    """How a network is trained. The defaults are for a small network from scratch on a few thousand pictures."""

    epochs: int = 60
    minutes: float | None = None  # the schedule shrinks to end by then, whatever the machine's speed
    batch: int = 32  # pictures, of all processes together
    accumulate: int = 1  # batches to a step of the optimizer
    learning_rate: float = 4e-3  # AdamW at batch 32; peak, after the warm-up
    policy: str = "cosine"  # a key of POLICIES
    weight_decay: float = 1e-4  # not on biases and batch norm
    warmup: float = 0.02  # share of the schedule
    average: float = 0.998  # of the weights, per step (Polyak averaging)
    augmentation: Augmentation = field(default_factory=Augmentation)
    framings: tuple[Size, ...] = ()  # (height, width) of the batches in turn; that of the card if there are none
    sizes: tuple[tuple[float, float], ...] = GROWING
    precision: str = "bf16"  # of the convolutions; see `device.PRECISIONS`
    evaluate_every: int = 5  # epochs; after the last one in any case
    seed: int = 0

    def progress(self, epochs: float, seconds: float) -> float:
        """0 at the beginning, 1 and more at the end: by epochs, or by the clock where that is further."""
        return max(epochs / self.epochs, seconds / 60 / self.minutes if self.minutes else 0.0)

    def rate(self, progress: float) -> float:
        """The learning rate: a linear warm-up, then as the policy says."""
        if progress < self.warmup:
            return self.learning_rate * (progress + 1e-3) / (self.warmup + 1e-3)
        return self.learning_rate * POLICIES[self.policy](min(1.0, progress))

    def size(self, progress: float, full: Size, divisor: int) -> Size:
        """(height, width) to train at: a share of `full` that grows, rounded to what the network takes."""
        share = max((s for s in self.sizes if s[0] <= progress), key=lambda s: s[0])[1]
        height, width = (max(divisor, round(v * share / divisor) * divisor) for v in full)
        return height, width

    def left(self, progress: float, seconds: float) -> float:
        """Minutes until the end, as of `seconds` of training: a picture takes time in proportion to its area."""
        progress = min(progress, 1.0)
        done = self._work(progress)
        by_work = seconds / 60 * (self._work(1.0) / done - 1) if done else math.inf
        return min(by_work, max(0.0, self.minutes - seconds / 60) if self.minutes else math.inf)

    def _work(self, progress: float) -> float:
        """The integral of the pictures' area up to `progress`, where 1 is the full size."""
        steps = sorted(self.sizes)
        ends = [start for start, _ in steps[1:]] + [1.0]
        return sum(share**2 * max(0.0, min(progress, end) - start) for (start, share), end in zip(steps, ends, strict=True))
