"""The trained models that ship: index.json names each with its files, hashes, accuracy and licence."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from edgeseg.errors import ModelError

FOLDER = Path(__file__).parent
DEFAULT = "person"


@dataclass(frozen=True)
class Asset:
    """One trained model: `files` maps (format, precision) such as ("tflite", "int8") to the path of the file for `size`.

    framings  files of the same kinds for frames of another shape, by their input size (height, width)
    """

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
    framings: dict[tuple[int, int], dict[tuple[str, str], Path]] = field(default_factory=dict)

    @property
    def paths(self) -> list[Path]:
        """Of all files that run, those for `size` first."""
        return [path for files in (self.files, *self.framings.values()) for path in files.values()]


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
            files=_files(row["files"]),
            sha256=row["sha256"],
            framings={(h, w): _files(files) for (h, w), files in ((f["size"], f["files"]) for f in row.get("framings", ()))},
        )
        for name, row in index.items()
    }


def _files(rows: list[dict[str, str]]) -> dict[tuple[str, str], Path]:
    return {(row["format"], row["precision"]): FOLDER / row["path"] for row in rows}


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


def framings_of(path: Path) -> dict[tuple[int, int], Path]:
    """Files of the same trained model, format and precision as the shipped file `path` for frames of other shapes, by input
    size; none where it has no others or is not for the model's main size.
    """
    for asset in trained().values():
        for kind, file in asset.files.items():
            if file == path:
                return {size: files[kind] for size, files in asset.framings.items() if kind in files}
    return {}
