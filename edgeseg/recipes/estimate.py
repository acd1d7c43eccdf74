"""What a network will cost, before there is a file of it to measure. Sizes and latencies from here are estimates."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from edgeseg import assets
from edgeseg.errors import UsageError
from edgeseg.models.checkpoint import ModelCard
from edgeseg.recipes.budget import THIS_MACHINE, Costs
from edgeseg.report.bench import Options, find_files, run_bench
from edgeseg.report.cost import count
from edgeseg.report.device import name_device
from edgeseg.report.schema import read_report

# Bytes of a weight, of an output channel (bias, scale, zero point) and of a layer (its node and names) in an exported file;
# fitted to the shipped int8 files, of which it misses those of persons by 3 % at most.
BYTES = {"int8": (1, 11, 655), "float16": (2, 4, 500), "float32": (4, 4, 500)}
LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


@dataclass(frozen=True)
class Speed:
    """How fast a device ran a network. Multiply-adds do not rank latency, so this is good for like networks only."""

    macs_per_ms: float
    source: str  # as in "person-256x256-int8.tflite on Raspberry Pi 5"

    def __str__(self) -> str:
        return f"{self.macs_per_ms / 1e6:.1f} GMAC/s, as {self.source}"


def costs(network: nn.Module, size: tuple[int, int], precision: str, speed: Speed | None = None) -> Costs:
    """Of `network` at `size` (height, width), exported with `precision`."""
    counted = count(network, size)
    latency = counted.macs / speed.macs_per_ms if speed else None
    return Costs(counted.macs, counted.params, file_bytes(network, precision), latency)


def file_bytes(network: nn.Module, precision: str) -> int:
    """Of an exported file, about."""
    layers = [layer for layer in network.modules() if isinstance(layer, LAYERS)]
    weights = sum(layer.weight.numel() for layer in layers)
    channels = sum(layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels for layer in layers)
    each, channel, layer_bytes = BYTES[precision]
    return each * weights + channel * channels + layer_bytes * len(layers)


def device_speed(device: str, model: str, card: ModelCard, macs: int, precision: str, formats: Collection[str]) -> Speed:
    """What `device` reached with a file of `precision` and one of `formats`: of `model` where it has been measured, or else
    of what has the nearest number of MACs. On THIS_MACHINE the shipped files are measured now.

    UsageError for a report without such a file, DataError for a file that is no report.
    """
    if device == THIS_MACHINE:
        name = model if model in assets.trained() else _nearest(card, macs)
        report = run_bench([path for path in find_files([name]) if path.suffix[1:] in formats], Options(min_seconds=1.0))
    else:
        report = read_report(Path(device))
    rows = [row for row in report["results"] if _usable(row, precision, formats)]
    if not rows:
        wanted = f"{precision} {' or '.join(formats)}"
        raise UsageError(f"{device} has no figure of a {wanted} file; measure one there: edgeseg bench FILE --json > {device}")
    row = min(rows, key=lambda row: (row["model"] not in (model, card.name), abs(row["macs"] - macs)))
    return Speed(row["macs"] / row["latency_ms"]["median"], f"{Path(row['path']).name} on {name_device(report['device'])}")


def _usable(row: dict[str, Any], precision: str, formats: Collection[str]) -> bool:
    return "error" not in row and bool(row.get("macs")) and row.get("precision") == precision and row.get("format") in formats


def _nearest(card: ModelCard, macs: int) -> str:
    """The trained model that ships whose architecture and cost are nearest."""
    there = assets.trained().values()
    return min(there, key=lambda asset: (asset.architecture != card.architecture, abs(asset.macs - macs))).name
