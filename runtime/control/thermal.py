"""How hot a board is, and how much of the inference it should be spared before it slows itself down.

A Raspberry Pi lowers its clock from 80 degrees on (its firmware does, and the kernel does not say so); others name a limit as a
passive trip point of their thermal zone. Near it a little work is saved at once, rather than much of the speed later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ZONES = ("cpu-thermal", "cpu_thermal", "CPU-therm", "soc-thermal", "soc_thermal")  # of boards; laptops look after themselves
LIMIT_C = 80.0  # of a Raspberry Pi 3, 4 and 5
NEAR_C = 5.0  # below the limit every second frame is inferred
BACK_C = 3.0  # cooler than where it began, before more is inferred again
SHARES = (1.0, 0.5, 0.25)
LOOK_EVERY_S = 2.0
THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"  # of a Pi's firmware, hexadecimal
# Bits of it: now, and 16 higher: since the start
TROUBLES = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
SLOWED = 0b1100


@dataclass(frozen=True)
class Heat:
    """What a board tells of itself."""

    temperature_c: float
    limit_c: float
    troubles: tuple[str, ...] = ()  # now
    troubled: tuple[str, ...] = ()  # since the start
    slowed: bool = False  # by its heat, now


def read_heat(sys: Path = Path("/sys")) -> Heat | None:
    """None where this is no board that tells."""
    for zone in sorted((sys / "class" / "thermal").glob("thermal_zone*")):
        if _text(zone / "type") in ZONES:
            degrees = _number(zone / "temp")
            if degrees is None:
                continue
            passive = [
                limit
                for trip in zone.glob("trip_point_*_type")
                if _text(trip) == "passive"
                if (limit := _number(trip.with_name(trip.name.replace("_type", "_temp")))) is not None
            ]
            flags = int(_text(sys / THROTTLED) or "0", 16)
            now, ever = (tuple(name for bit, name in TROUBLES.items() if flags >> bit + shift & 1) for shift in (0, 16))
            return Heat(degrees / 1000, min(passive, default=1000 * LIMIT_C) / 1000, now, ever, bool(flags & SLOWED))
    return None


class Thermal:
    """Says which share of the frames should be inferred, by the heat of the board. 1 where it does not tell.

        if thermal.share() == 0.5: every second frame

    Cheap enough to be asked for each frame: it looks every two seconds.
    """

    def __init__(self, read: Callable[[], Heat | None] = read_heat, look_every_s: float = LOOK_EVERY_S) -> None:
        self._read = read
        self._look_every_s = look_every_s
        self._looked_s = float("-inf")
        self._level = 0
        self.heat: Heat | None = None

    def share(self) -> float:
        """1.0, 0.5 or 0.25."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= self._look_every_s:
            self._looked_s = now_s
            self.heat = self._read()
            self._level = 0 if self.heat is None else level(self.heat, self._level)
        return SHARES[self._level]


def level(heat: Heat, before: int) -> int:
    """0 (cool) to 2 (at the limit), and no lower than `before` until it is clearly cooler."""
    begins_c = (float("-inf"), heat.limit_c - NEAR_C, heat.limit_c)
    reached = 2 if heat.slowed else max(i for i, c in enumerate(begins_c) if heat.temperature_c >= c)
    if reached < before and heat.temperature_c > begins_c[before] - BACK_C:
        return before
    return reached


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None
