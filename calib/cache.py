"""Ranges that were found before: the same network, size, pictures and settings need not be measured twice.

An entry is a safetensors file named by the SHA-256 of all that decides the result: the graph's code and which tensors share a
range (the policy), its weights, the pictures' bytes, the observers' settings, the version below. Entries are in
$EDGESEG_CACHE/calibration, or else ~/.cache/edgeseg/calibration ($XDG_CACHE_HOME is heeded). One that cannot be read is
passed over with a note, and so is a folder that cannot be written: a cache is never a reason to fail.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, fx

from edgeseg.calib.observers import Range
from edgeseg.calib.simulate import ranges
from edgeseg.errors import OutputError
from edgeseg.whole import cache_folder, write_whole

VERSION = 1  # to be raised whenever the same pictures would give other ranges
METADATA_KEY = "edgeseg.calibration"
KEPT = 32  # entries; the oldest go


@dataclass(frozen=True)
class Entry:
    """What calibration found."""

    ranges: dict[str, Range]
    weights: dict[str, Tensor]  # that differ from the network's
    report: dict[str, Any]  # JSON


def default_folder() -> Path:
    """Where entries are, by the environment."""
    return cache_folder("calibration")


def key_of(prepared: fx.GraphModule, images: Sequence[Tensor], settings: str) -> str:
    """SHA-256 of all that decides the ranges of `prepared`; images in 0..1 count to a 255th."""
    digest = hashlib.sha256(f"{VERSION} {torch.__version__} {settings}\n{prepared.code}".encode())
    shared = {id(observer): f"{name} {observer.qscheme}" for name, observer in ranges(prepared).items()}
    digest.update(json.dumps({name: shared.get(id(module), "") for name, module in prepared._modules.items()}).encode())
    for name, value in [*prepared.named_parameters(), *_constants(prepared)]:
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().float().contiguous().numpy().tobytes())
    for image in images:
        digest.update(str(tuple(image.shape)).encode())
        digest.update((image * 255).round().to(torch.uint8).contiguous().numpy().tobytes())
    return digest.hexdigest()


def load(folder: Path, key: str, prepared: fx.GraphModule) -> tuple[Entry | None, str]:
    """(what was kept under `key` if it fits `prepared`, a note where there is something else)."""
    path = folder / f"{key}.safetensors"
    if not path.is_file():
        return None, ""
    damaged = f"{path} is damaged and was passed over; ranges are measured again"
    try:
        with safe_open(path, framework="pt") as file:
            report = json.loads((file.metadata() or {})[METADATA_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError, KeyError):
        return None, damaged
    limits, weights = (
        {name.partition(":")[2]: value for name, value in tensors.items() if name.startswith(kind)}
        for kind in ("range:", "weight:")
    )
    shapes = {name: value.shape for name, value in prepared.named_parameters()}
    whole = all(v.shape == (2,) and bool(torch.isfinite(v).all()) for v in limits.values())
    if (
        not whole
        or limits.keys() != ranges(prepared).keys()
        or not isinstance(report, dict)
        or any(shapes.get(name) != value.shape or not torch.isfinite(value).all() for name, value in weights.items())
    ):
        return None, damaged
    with suppress(OSError):
        os.utime(path)  # the oldest go first
    return Entry({name: (float(v[0]), float(v[1])) for name, v in limits.items()}, weights, report), ""


def save(folder: Path, key: str, entry: Entry) -> str:
    """Keep `entry` under `key`; gives a note where it could not be written."""
    tensors = {f"range:{name}": torch.tensor(ends, dtype=torch.float64) for name, ends in entry.ranges.items()}
    tensors |= {f"weight:{name}": value.contiguous() for name, value in entry.weights.items()}
    try:
        write_whole(folder / f"{key}.safetensors", to_bytes(tensors, {METADATA_KEY: json.dumps(entry.report)}))
        entries = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
        for old in entries[:-KEPT]:
            old.unlink(missing_ok=True)
    except (OutputError, OSError) as error:
        return f"the ranges were not kept for the next time ({str(error).partition(';')[0]})"
    return ""


def _constants(prepared: fx.GraphModule) -> list[tuple[str, Tensor]]:
    """Tensors of the graph that are no parameters; not those of observers, which change."""
    names = {str(node.target) for node in prepared.graph.nodes if node.op == "get_attr"}
    return [(name, value) for name, value in sorted(prepared.named_buffers()) if name in names]
