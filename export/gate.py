"""What an export must reach before anything is written, and which layers to blame where it does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edgeseg.calib.scores import Score
from edgeseg.calib.sensitivity import LayerSensitivity, worst_first
from edgeseg.errors import ExportError
from edgeseg.export.parity import Parity

MIN_AGREEMENT = 0.98
BLAMED = 3
MARGIN = 0.1  # of what may be lost: kernels round a little otherwise than a simulation, and other pictures lose a little more


@dataclass(frozen=True)
class Goal:
    """min_agreement: share of pixels that keep their class; max_miou_drop: points of mIoU (0..100) lost, if given."""

    min_agreement: float = MIN_AGREEMENT
    max_miou_drop: float | None = None

    def shortfall(self, of: Parity | Score) -> float:
        """By how much the goal is missed, as a share of pixels or of mIoU, whichever is more; 0 or less where it is met."""
        if math.isnan(of.sqnr_db) or math.isnan(of.agreement):
            return math.inf
        drop = -math.inf if self.max_miou_drop is None else -of.miou_delta - self.max_miou_drop / 100
        return max(self.min_agreement - of.agreement, drop)

    def met(self, of: Parity | Score) -> bool:
        return self.shortfall(of) <= 1e-9  # 98 % is met by 0.98, whatever binary fractions make of it

    def with_margin(self) -> Goal:
        """A tenth stricter: for a simulation on some of the pictures, where the file on all of them is to meet this goal."""
        return Goal(
            1 - (1 - MARGIN) * (1 - self.min_agreement),
            None if self.max_miou_drop is None else (1 - MARGIN) * self.max_miou_drop,
        )

    def tightened(self, by: float) -> Goal:
        drop = None if self.max_miou_drop is None else self.max_miou_drop - 100 * by
        return Goal(min(self.min_agreement + by, 1.0), drop)


def judge(
    parity: Parity,
    name: str,
    goal: Goal,
    worst: Callable[[], Sequence[LayerSensitivity]],
    trained_with: Literal["float", "qat"] = "float",
) -> None:
    """ExportError where the file called `name` misses `goal`.

    worst  measures the layers, for the message; not called where there are none (a float file) or the goal is met
    """
    if goal.met(parity):
        return
    lost = []
    if not parity.agreement >= goal.min_agreement:
        lost.append(
            f"gives {parity.agreement:.2%} of the pixels of {parity.images} pictures the class that the network gives, "
            f"less than {goal.min_agreement:.2%}"
        )
    if goal.max_miou_drop is not None and not -100 * parity.miou_delta <= goal.max_miou_drop:
        lost.append(f"loses {-100 * parity.miou_delta:.2f} points of mIoU, more than {goal.max_miou_drop:.2f}")
    if not lost:
        lost.append("gives logits that are no numbers")
    layers = worst_first(worst())[:BLAMED]
    blame = ", ".join(f"{layer.layer} ({layer.own_db:.0f} dB, {1 - layer.agreement:.2%} of pixels)" for layer in layers)
    if layers:
        remedy = (
            f"the worst layers are {blame}: keep them in float with --keep-float {layers[0].layer}, calibrate on more pictures"
        )
        remedy += " like the camera's (--calib)" + (", or train with `edgeseg train --qat`" if trained_with == "float" else "")
    else:
        remedy = "use better pictures (--calib)"
    raise ExportError(f"{name} {' and '.join(lost)}; {remedy}; --force writes it as it is")
