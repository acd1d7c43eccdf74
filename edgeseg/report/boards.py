"""What boards and a phone can do at best by what their makers publish. Estimates: nothing here was measured.

A peak is clock x multiply-adds that a core can begin in a cycle x cores. No network reaches it; it says what none can exceed,
and how two boards compare. Memory is the interface's width x its rate; a processor's copy reaches a half to two thirds of it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Peaks:
    """The limits of a roofline (Williams, Waterman & Patterson 2009): measured or else an estimate, never a mixture."""

    float32_macs_per_s: float
    int8_macs_per_s: float | None  # None where it has no faster arithmetic for 8 bits: then that of float32
    bytes_per_s: float
    is_measured: bool
    how: str  # what was run, or what the estimate assumes

    def macs_per_s(self, operands: str) -> float:
        return self.int8_macs_per_s or self.float32_macs_per_s if operands == "int8" else self.float32_macs_per_s

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Board:
    """A device with its published figures."""

    title: str
    unit: str  # what calculates
    cores: int
    ghz: float
    float32_per_cycle: float  # MACs, of one core
    int8_per_cycle: float | None
    gb_per_s: float  # 10^9 bytes
    sources: tuple[str, ...]
    assumptions: str
    is_cpu: bool = True  # a thread uses one core; a GPU is used whole

    def peaks(self, cores: int | None = None) -> Peaks:
        """With `cores` of its cores, all if not given."""
        used = min(cores or self.cores, self.cores) * self.ghz * 1e9
        int8 = None if self.int8_per_cycle is None else used * self.int8_per_cycle
        how = f"estimate for {self.unit}: {self.assumptions}"
        return Peaks(used * self.float32_per_cycle, int8, self.gb_per_s * 1e9, False, how)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"sources": list(self.sources), "peaks": self.peaks().to_json()}


# A 128-bit FMLA is 4 multiply-adds of float32, an SDOT 16 of int8, an SMLAL 8. How many a cycle: Arm's Software Optimization
# Guide of each core, its tables of ASIMD floating-point and integer instructions.
BOARDS = {
    "pi4": Board(
        "Raspberry Pi 4",
        "4 Cortex-A72",
        cores=4,
        ghz=1.8,
        float32_per_cycle=4,
        int8_per_cycle=8,
        gb_per_s=12.8,
        sources=(
            "Raspberry Pi 4 Model B product brief: quad-core Cortex-A72 at 1.8 GHz, LPDDR4-3200",
            "Arm Cortex-A72 Software Optimization Guide: one 128-bit FMLA or SMLAL a cycle",
        ),
        assumptions="1.8 GHz throughout; one 128-bit FMLA or one SMLAL a cycle (no dot product); 32-bit LPDDR4-3200",
    ),
    "pi5": Board(
        "Raspberry Pi 5",
        "4 Cortex-A76",
        cores=4,
        ghz=2.4,
        float32_per_cycle=8,
        int8_per_cycle=32,
        gb_per_s=17.1,
        sources=(
            "Raspberry Pi 5 product brief: BCM2712, quad-core Cortex-A76 at 2.4 GHz, LPDDR4X-4267",
            "Arm Cortex-A76 Software Optimization Guide: two 128-bit FMLA or SDOT a cycle",
        ),
        assumptions="2.4 GHz throughout; two 128-bit FMLA or two SDOT a cycle; 32-bit LPDDR4X-4267",
    ),
    "jetson-nano": Board(
        "Jetson Nano",
        "its Maxwell GPU",
        cores=128,
        ghz=0.9216,
        float32_per_cycle=1,
        int8_per_cycle=None,
        gb_per_s=25.6,
        sources=("NVIDIA Jetson Nano data sheet: 128 Maxwell cores at 921 MHz, 472 GFLOPS in float16, 25.6 GB/s",),
        assumptions="one multiply-add a core and cycle in float32 (twice that in float16); TensorRT has no int8 for this GPU",
        is_cpu=False,
    ),
    "orin-nano": Board(
        "Jetson Orin Nano 8 GB",
        "its Ampere GPU",
        cores=1024,
        ghz=0.625,
        float32_per_cycle=1,
        int8_per_cycle=15.625,  # 20 dense TOPS are 10^13 MACs a second
        gb_per_s=68.0,
        sources=("NVIDIA Jetson Orin Nano data sheet: 1024 CUDA cores at 625 MHz, 40 sparse (20 dense) INT8 TOPS, 68 GB/s",),
        assumptions="one multiply-add a CUDA core and cycle in float32; tensor cores, dense weights, in int8; not Super mode",
        is_cpu=False,
    ),
    "pixel": Board(
        "Pixel-class phone",
        "2 Cortex-X1",
        cores=2,
        ghz=2.8,
        float32_per_cycle=16,
        int8_per_cycle=64,
        gb_per_s=51.2,
        sources=(
            "Google Tensor (Pixel 6): 2 Cortex-X1 at 2.8 GHz, 64-bit LPDDR5-6400",
            "Arm Cortex-X1 Software Optimization Guide: four 128-bit FMLA or SDOT a cycle",
        ),
        assumptions="the two large cores only, 2.8 GHz throughout; four 128-bit FMLA or SDOT a cycle; no GPU, no TPU",
    ),
}
