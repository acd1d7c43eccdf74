"""What an export has to say of itself: as JSON, and as a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from edgeseg.export.files import Exported


def to_json(written: Sequence[Exported]) -> dict[str, Any]:
    """The document of `edgeseg export --json`."""
    first = written[0]
    found = {} if first.calibration is None else {"calibration": dataclasses.asdict(first.calibration)}
    return found | {
        "model": first.spec.model,
        "params": first.spec.params,
        "macs": first.spec.macs,
        "files": [
            {
                "path": str(file.path),
                "format": file.format,
                "dtype": file.spec.precision,
                "size_bytes": file.size_bytes,
                "parity": dataclasses.asdict(file.parity),
                "ops": file.ops,
                "opset": file.opset,
            }
            for file in written
        ],
        "pairs": [dataclasses.asdict(pair) for pair in first.pairs],
        "kept_float": list(first.kept_float),
        "float_layers": list(first.float_layers),
    }


def to_table(written: Sequence[Exported]) -> str:
    """A line for each file, one for each two of them that were compared, and the layers in float."""
    width = max(len(file.path.name) for file in written)
    lines = [f"{'':{width}} agreement mIoU delta SQNR dB     kB   operators: int8 float transp. quant.  opset"]
    for file in written:
        p, ops = file.parity, file.ops
        lines.append(
            f"{file.path.name:{width}} {p.agreement:9.2%} {p.miou_delta:+10.4f} {p.sqnr_db:7.1f} {file.size_bytes / 1e3:6.0f}"
            f"{ops['int8']:18} {ops['float']:5} {ops['transpose']:7} {ops['quantize']:6} {file.opset or '':6}"
        )
    # What a file has in common with the network in float stands above.
    formats = {file.format for file in written}
    for pair in written[0].pairs:
        if pair.b in formats and pair.a != "float":
            title = f"{pair.a} and {pair.b}"
            lines.append(f"{title:{width}} {pair.agreement:9.2%} {pair.miou_delta:+10.4f} {pair.sqnr_db:7.1f}")
    if written[0].kept_float:
        lines.append(f"left in float: {', '.join(written[0].kept_float)}")
        readers = [layer for layer in written[0].float_layers if layer not in written[0].kept_float]
        lines.append(f"calculated in float, for they read these or are joined with them: {', '.join(readers)}")
    return "\n".join(lines)
