"""A report with everything in it that a page can show, made up: no figure of it was measured."""

from __future__ import annotations

import math
from typing import Any

DEVICE = {
    "board": None,
    "cpu": "A Processor With a Rather Long Name (R) 9999X @ 3.14 GHz",
    "cores": 8,
    "cores_usable": 8,
    "memory_bytes": 16 * 2**30,
    "os": "Debian GNU/Linux 12 (bookworm), Linux 6.1",
    "architecture": "x86_64",
    "python": "3.11.7",
    "versions": {"edgeseg": "0.1.0", "onnxruntime": "1.31.1"},
    "governor": "performance",
    "temperature_c": 45.0,
    "temperature_end_c": 51.0,
    "throttled": False,
    "load_1min": 0.1,
}
PEAKS = {"float32_macs_per_s": 1e11, "int8_macs_per_s": 4e11, "bytes_per_s": 1e10, "is_measured": True, "how": "a chain"}


def layer(i: int, operands: str) -> dict[str, Any]:
    ms, macs = 1.0 / (i + 1), 2_000_000 * (i % 7)
    limit = 1e3 * max(macs / PEAKS[f"{operands}_macs_per_s"], 50_000 / PEAKS["bytes_per_s"])
    return {
        "name": f"backbone.stages.{i // 3}.{i % 3}.block.with.a.long.path.1.0",
        "kind": "DEPTHWISE_CONV_2D" if i % 2 else "CONV_2D",
        "params": 100,
        "macs": macs,
        "moved_bytes": 50_000,
        "intensity": macs / 50_000,
        "operands": operands,
        "ms": ms,
        "share": ms / 4.5,
        "limit_ms": limit,
        "bound": "memory",
        "limit_share": limit / ms,
    }


def row(name: str, median: float, precision: str = "int8", *, accuracy: float = 0.9, seed: int = 0) -> dict[str, Any]:
    quantiles = [median * (0.95 + 0.1 * (i / 40) + (0.5 if i > 38 else 0)) for i in range(41)]
    wobble = [1 + 0.01 * math.sin(i * 1.7 + seed) for i in range(40)]
    return {
        "path": f"runs/{name}",
        "model": "person",
        "format": name.rpartition(".")[2],
        "precision": precision,
        "backend": "litert" if name.endswith("tflite") else "ort",
        "threads": 1,
        "size_hw": [256, 256],
        "macs": 147_000_000,
        "flops": 294_000_000,
        "params": 566_000,
        "size_bytes": 700_000,
        "accuracy": {"iou/portraits": accuracy},
        "latency_ms": {"median": median, "p90": median * 1.05, "p99": median * 1.4, "max": median * 2, "cold": 60.0},
        "quantiles_ms": quantiles,
        "runs": 1000,
        "rounds": 40,
        "warmup": 10,
        "reference_repeats": 10,
        "blocks": {
            "start_s": [float(i) for i in range(40)],
            "wall_ms": [median * w for w in wobble],
            "cpu_ms": [median * w for w in wobble],
            "reference_wall_ms": [2.0] * 40,
            "reference_cpu_ms": [2.0] * 40,
        },
        "stages_ms": {"prepare": 0.3, "decode": 0.01},
        "peak_rss_bytes": 80 * 2**20,
        "cost": {
            "params": 557_000,
            "macs": 147_000_000,
            "moved_bytes": 17_000_000,
            "intensity": 8.5,
            "peak_bytes": 1_600_000,
            "peak_layer": "stem",
            "uncounted": {"ADD": 11},
        },
        "operators": [{"op": "QLinearConv", "dtype": "uint8", "nodes": 67, "ms": 2.8, "share": 0.9}],
        "layers": [layer(i, "int8" if precision == "int8" else "float32") for i in range(30)],
        "other_ms": {"Transpose": 0.05},
        "at_best_ms": {"measured": 0.9, "pi4": 5.0, "pi5": 1.9, "jetson-nano": 3.3, "orin-nano": 0.4, "pixel": 1.1},
        "energy_mj": 31.4,
        "speedup": {"against": "x", "value": 1.6, "low": 1.55, "high": 1.65, "verdict": "1.60x (1.55 to 1.65)"},
    }


def report(factor: float = 1.0, device: dict[str, Any] | None = None, seed: int = 0) -> dict[str, Any]:
    """Of two files and one that failed; files take `factor` times as long."""
    rows = [
        row("person-256x256-int8.tflite", 2.5 * factor, seed=seed),
        row("person-256x256-float32.onnx", 4.3 * factor, "float32", accuracy=0.91, seed=seed),
    ]
    return {
        "schema": 2,
        "device": DEVICE | (device or {}),
        "measured": {"date": "2026-01-01T00:00:00Z", "warmup": 10, "min_seconds": 2.0, "runs_per_round": 5, "threads": [1]},
        "energy": "RAPL package",
        "roofline": {"measured": {"1": PEAKS}, "estimates": {}},
        "results": [*rows, {"path": "runs/broken.onnx", "error": "runs/broken.onnx is truncated or no valid ONNX model"}],
        "comparisons": [{"first": 1, "second": 0, "differ": "precision", "verdict": "1.60x (1.55 to 1.65)"}],
    }
