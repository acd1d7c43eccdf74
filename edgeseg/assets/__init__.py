"""The trained models that ship: index.json names each with its files, hashes, accuracy and licence."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgeseg.errors import ModelError

FOLDER = Path(__file__).parent
DEFAULT = "person"


@dataclass(frozen=True)
class Asset:
    """One trained model: `files` maps (format, precision) such as ("tflite", "int8") to a path."""

    name: str
    architecture: str
    description: str
    size: tuple[int, int]
    params: int
    macs: int
    accuracy: dict[str, float]
    licence: str
    checkpoint: Path
    files: dict[tuple[str, str], Path]
    sha256: dict[str, str]  # file name -> hash


@cache
def trained() -> dict[str, Asset]:
    """All trained models that ship, by name."""
    index: dict[str, dict[str, Any]] = json.loads((FOLDER / "index.json").read_text())
    return {
        name: Asset(
            name=name,
            architecture=row["architecture"],
            description=row["description"],
            size=(row["size"][0], row["size"][1]),
            params=row["params"],
            macs=row["macs"],
            accuracy=row["accuracy"],
            licence=row["licence"],
            checkpoint=FOLDER / row["checkpoint"],
            files={(f["format"], f["precision"]): FOLDER / f["path"] for f in row["files"]},
            sha256=row["sha256"],
        )
        for name, row in index.items()
    }


def find(name: str, format: str, precision: str = "int8") -> Path:
    """Path of a shipped model file; ModelError names what there is."""
    models = trained()
    if name not in models:
        raise ModelError(f"no trained model named {name!r} and no such file; there are: {', '.join(models) or 'none'}")
    path = models[name].files.get((format, precision))
    if path is None:
        there = ", ".join(f"{p} {f}" for f, p in models[name].files)
        raise ModelError(
            f"model {name!r} does not ship as {precision} {format} (it ships as {there}); make it: edgeseg export {name}"
        )
    return path


def verify(asset: Asset) -> list[str]:
    """Names of the asset's files that are missing or whose SHA-256 is not the one in the index."""
    return [
        name
        for name, expected in asset.sha256.items()
        if not (FOLDER / name).is_file() or hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() != expected
    ]
