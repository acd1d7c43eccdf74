"""What a compressed network may cost, and how accurate it must stay.

macs <= 60e6             multiply-adds at the input's size; also params and size_bytes (of an exported file)
macs <= 0.25             up to 1, a share of what the original has
latency_ms <= 8          on a device that the recipe names
iou >= 0.93              of validation, in 0..1; also miou, and those of one class or source, as iou/person
iou drop <= 1.0          points of 100 that the original may lose
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeseg.errors import UsageError

UNITS = {"macs": (1e6, "MMAC"), "params": (1e3, "k parameters"), "size_bytes": (1e3, "kB"), "latency_ms": (1.0, "ms")}
THIS_MACHINE = "this machine"
BUDGET = re.compile(r"\s*([a-z_]+)\s*<=\s*(\S+)\s*")
FLOOR = re.compile(r"\s*([a-z_]\S*)\s+(>=|drop\s*<=)\s*(\S+)\s*")


@dataclass(frozen=True)
class Costs:
    """Of one inference of one image. latency_ms is None where no device is known."""

    macs: int
    params: int
    size_bytes: int  # of an exported file
    latency_ms: float | None = None


@dataclass(frozen=True)
class Budget:
    """limits: name of a cost -> what it may be at most; up to 1 a share of the original's (but for latency_ms)."""

    limits: Mapping[str, float] = field(default_factory=dict)
    device: str = ""  # a file of `edgeseg bench --json`, or THIS_MACHINE

    def __post_init__(self) -> None:
        for name, limit in self.limits.items():
            if name not in UNITS:
                raise UsageError(f"a budget has no {name!r}; there are: {', '.join(UNITS)}, and the device")
            if not (math.isfinite(limit) and limit > 0):
                raise UsageError(f"the budget {name} must be a number above 0, got {limit}")
        if "latency_ms" in self.limits and not self.device:
            raise UsageError(
                f'a budget of latency_ms needs a device: device = "FILE.json" of edgeseg bench, or "{THIS_MACHINE}"'
            )

    def absolute(self, original: Costs) -> dict[str, float]:
        """The limits with shares of `original` worked out."""
        return {
            name: limit * getattr(original, name) if limit <= 1 and name != "latency_ms" else limit
            for name, limit in self.limits.items()
        }


@dataclass(frozen=True)
class Floor:
    """How accurate the result must be: at least `least`, and at most `max_drop` points (of 100) below the original."""

    metric: str = ""  # the most important one of the validation if not given
    least: float | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        if self.least is not None and not 0 <= self.least <= 1:
            raise UsageError(f"the floor is a share from 0 to 1, got {self.least}; 93 % is 0.93")
        if self.max_drop is not None and not -100 <= self.max_drop <= 100:
            raise UsageError(f"the floor's drop is in points of 100, got {self.max_drop}")

    def goal(self, original: Mapping[str, float]) -> float | None:
        """What the metric must reach; None where anything will do. UsageError for a metric that there is none of."""
        goals = [] if self.least is None else [self.least]
        if self.max_drop is not None:
            goals.append(original[self.named(original)] - self.max_drop / 100)
        return max(goals, default=None)

    def named(self, scores: Mapping[str, float]) -> str:
        """The metric's name among validation `scores`, of which the first is the most important."""
        name = self.metric or next(iter(scores), "")
        if name not in scores:
            raise UsageError(f"the floor speaks of {name or 'a score'}, validation of {', '.join(scores) or 'nothing'}")
        return name

    def __str__(self) -> str:
        name = self.metric or "accuracy"
        parts = [] if self.least is None else [f"{name} >= {self.least:g}"]
        parts += [] if self.max_drop is None else [f"{name} drop <= {self.max_drop:g} points"]
        return ", ".join(parts)


def parse_limit(text: str) -> tuple[str, float]:
    """`macs <= 60e6` -> ("macs", 60e6)."""
    match = BUDGET.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no budget; write it as in: macs <= 60e6")
    return match.group(1), _number(match.group(2), text)


def parse_floor(text: str) -> Floor:
    """`iou >= 0.93` or `iou drop <= 1.0`."""
    match = FLOOR.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no floor; write it as in: iou >= 0.93, or: iou drop <= 1.0")
    number = _number(match.group(3), text)
    return Floor(match.group(1), number) if match.group(2) == ">=" else Floor(match.group(1), max_drop=number)


def exceeded(limits: Mapping[str, float], costs: Costs) -> list[str]:
    """A phrase for each of `limits` that `costs` do not keep to; absolute limits. What is not known exceeds nothing."""
    return [
        f"{name} <= {told(name, limit)}, but it is {told(name, value)}"
        for name, limit in limits.items()
        if (value := getattr(costs, name)) is not None and value > limit
    ]


def excess(limits: Mapping[str, float], costs: Costs) -> float:
    """The largest of cost / limit; above 1 where a limit is exceeded, 0 without limits."""
    values = [(getattr(costs, name), limit) for name, limit in limits.items()]
    return max((value / limit for value, limit in values if value is not None), default=0.0)


def told(name: str, value: float) -> str:
    """A cost with its unit."""
    scale, unit = UNITS[name]
    return f"{value / scale:.4g} {unit}"


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{text!r} in {whole!r} is not a number") from None
