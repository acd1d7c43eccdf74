"""What an inference takes out of the battery, where the machine can tell: INA3221 sensors on a Jetson, RAPL on x86.

Both count the whole module or package, with whatever else runs on it; a figure is joules per inference while nothing but
inferences is asked of the machine. Nothing is subtracted for idling.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

RAPL = "sys/class/powercap"
INA3221 = "sys/bus/i2c/drivers/ina3221"
INPUTS = ("VDD_IN", "POM_5V_IN")  # the rails that feed a whole Jetson module; others are parts of it
SAMPLE_S = 0.02
Reader = Callable[[], int]


@dataclass(frozen=True)
class Meter:
    """Counts joules. `read` gives microjoules so far (`is_power` False) or microwatts now (True)."""

    source: str
    read: Reader
    is_power: bool
    wraps_at: int = 0  # microjoules at which the count begins again; 0 if never

    def joules(self, work: Callable[[], object]) -> float:
        """Spent while `work` runs."""
        if self.is_power:
            return self._sampled(work)
        before = self.read()
        work()
        spent = self.read() - before
        return (spent + self.wraps_at if spent < 0 else spent) / 1e6

    def _sampled(self, work: Callable[[], object]) -> float:
        watts: list[int] = [self.read()]
        done = threading.Event()

        def sample() -> None:
            while not done.wait(SAMPLE_S):
                watts.append(self.read())

        thread = threading.Thread(target=sample, daemon=True)
        start = time.monotonic()
        thread.start()
        try:
            work()
        finally:
            done.set()
            thread.join()
        return (time.monotonic() - start) * sum(watts) / len(watts) / 1e6


def find_meter(root: Path = Path("/")) -> Meter | str:
    """What counts energy here, or the reason why nothing does. `root` is where /sys is."""
    return _jetson(root) or _rapl(root)


def _jetson(root: Path) -> Meter | None:
    for rail in sorted((root / INA3221).glob("*/hwmon/hwmon*/in*_label")):
        if _text(rail) in INPUTS:
            number = rail.name.removeprefix("in").removesuffix("_label")
            volt, ampere = rail.with_name(f"in{number}_input"), rail.with_name(f"curr{number}_input")
            if _text(volt) and _text(ampere):  # millivolts and milliamperes
                return Meter(f"INA3221 {_text(rail)}", _product(volt, ampere), True)
    for rail in sorted((root / INA3221).parent.glob("ina3221x/*/iio:device*/rail_name_*")):  # before JetPack 5
        power = rail.with_name(f"in_power{rail.name.removeprefix('rail_name_')}_input")
        if _text(rail) in INPUTS and _text(power):  # milliwatts
            return Meter(f"INA3221 {_text(rail)}", _product(power, factor=1000), True)
    return None


def _product(*files: Path, factor: int = 1) -> Reader:
    return lambda: factor * math.prod(int(file.read_text()) for file in files)


def _rapl(root: Path) -> Meter | str:
    packages = sorted((root / RAPL).glob("intel-rapl:*[0-9]"))
    counters = [p / "energy_uj" for p in packages if ":" not in p.name.removeprefix("intel-rapl:")]
    if not counters:
        return "no sensor: neither INA3221 (Jetson) nor RAPL (x86) is under /sys"
    if any(_text(counter) is None for counter in counters):
        return f"{counters[0]} may be read by root only; run: sudo chmod a+r {counters[0]}"
    wraps = sum(int(_text(c.with_name("max_energy_range_uj")) or 0) for c in counters)
    return Meter("RAPL package", lambda: sum(int(c.read_text()) for c in counters), False, wraps)


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
