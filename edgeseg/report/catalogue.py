"""What there is to run: the trained models that ship, and where torch is installed the architectures to train."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from edgeseg import assets
from edgeseg.errors import MissingExtraError, UsageError
from edgeseg.report.cost_file import count_file
from edgeseg.report.costs import Cost

FILES = {".tflite", ".onnx"}
REFERENCE_SIZE = (256, 256)  # at which architectures are counted, with one channel of logits


def list_models() -> list[dict[str, Any]]:
    """One row a model, trained ones first. What is not known of a row is None."""
    rows = [
        {
            "name": asset.name,
            "trained": True,
            "default": asset.name == assets.DEFAULT,
            "architecture": asset.architecture,
            "description": asset.description,
            "size_hw": list(asset.size),
            "params": asset.params,
            "macs": asset.macs,
            "flops": 2 * asset.macs,
            "accuracy": asset.accuracy,
            "licence": asset.licence,
            "files": [
                {"format": format, "precision": precision, "path": str(path), "size_bytes": path.stat().st_size}
                for (format, precision), path in asset.files.items()
                if path.is_file()
            ],
        }
        for asset in assets.trained().values()
    ]
    return rows + _architectures()


def _architectures() -> list[dict[str, Any]]:
    if importlib.util.find_spec("torch") is None:
        return []
    from edgeseg.models import MODELS
    from edgeseg.report.cost import count

    rows = []
    for name, network in MODELS.items():
        cost = count(network(1), REFERENCE_SIZE)
        summary = (network.__doc__ or "").strip().splitlines()
        rows.append(
            {
                "name": name,
                "trained": False,
                "default": False,
                "architecture": name,
                "description": summary[0] if summary else "",
                "size_hw": list(REFERENCE_SIZE),
                "params": cost.params,
                "macs": cost.macs,
                "flops": cost.flops,
                "accuracy": {},
                "licence": None,
                "files": [],
            }
        )
    return rows


def to_table(rows: list[dict[str, Any]]) -> str:
    """For a terminal: one line a model with its figures, then what it is, how good, and under which licence."""
    lines = []
    for row in rows:
        state = "trained, the default" if row["default"] else "trained" if row["trained"] else "architecture, untrained"
        height, width = row["size_hw"]
        figures = f"{row['params'] / 1e6:.2f} M params, {row['macs'] / 1e6:.0f} MMAC at {height}x{width}"
        lines.append(f"{row['name']}  ({state}): {figures}")
        if row["description"]:
            lines.append(f"    {row['description']}")
        if row["accuracy"]:
            lines.append("    " + ", ".join(f"{key} {value:.3f}" for key, value in row["accuracy"].items()))
        if row["files"]:
            files = (f"{f['precision']} {f['format']} {f['size_bytes'] / 1e3:.0f} kB" for f in row["files"])
            lines.append("    files: " + ", ".join(files))
        if row["licence"]:
            lines.append(f"    licence: {row['licence']}")
    return "\n".join(lines)


def count_model(name: str, size: tuple[int, int] | None = None) -> Cost:
    """Cost of a trained model, an architecture, a checkpoint, or a .tflite or .onnx file, at `size` or else at its own.

    Raises ModelError, ShapeError for a size it cannot take, UsageError for a size with a file, MissingExtraError without torch.
    """
    if Path(name).suffix.lower() in FILES:
        if size is not None:
            raise UsageError(f"{name} is made for one size; leave out --size, or export it at another")
        return count_file(Path(name))
    try:
        from edgeseg.models.checkpoint import load_model
        from edgeseg.report.cost import count
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "export", "counting layers (of a .tflite file it does not)") from None
    model = load_model(name)
    size = size or model.card.size
    model.network.check_size(size)
    return count(model.network, size)
