"""Where the time of an ONNX file goes, by operator: float islands in an int8 network show up here.

ONNX Runtime times every node when asked to, and is slower for it: read the shares, not the sum. LiteRT's Python interpreter
has no such thing.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgeseg.report.latency import noise
from edgeseg.runtime.session import Session

RUNS = 20
WARMUP = 5


def profile_operators(session: Session, threads: int = 1, runs: int = RUNS) -> list[dict[str, Any]] | None:
    """Rows {"op", "dtype", "nodes", "ms", "share"}, the most expensive first; None where the backend cannot tell.

    op, dtype  of the graph as ONNX Runtime optimised it; the type is that of the first output
    nodes      so many in the graph
    ms         of one inference, with profiling
    share      of the sum of all, 0..1
    """
    if session.backend != "ort" or session.path is None:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_profiling = True
    tensor = session.prepare(noise(session.spec.size))
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        profiled = onnxruntime.InferenceSession(str(session.path), options, providers=["CPUExecutionProvider"])
        feed = {profiled.get_inputs()[0].name: tensor}
        for _ in range(WARMUP + runs):
            profiled.run(None, feed)
        events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
    return summarise(events, runs)


def summarise(events: Iterable[dict[str, Any]], runs: int) -> list[dict[str, Any]]:
    """Rows of `profile_operators` from ONNX Runtime's trace, of which the last `runs` inferences count."""
    times: dict[str, list[float]] = defaultdict(list)  # by node
    kinds: dict[str, tuple[str, str]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            outputs = event["args"].get("output_type_shape") or [{}]
            times[event["name"]].append(event["dur"] / 1e3)
            kinds[event["name"]] = (event["args"].get("op_name", "?"), next(iter(outputs[0]), "?"))
    sums: dict[tuple[str, str], list[float]] = defaultdict(list)
    for node, durations in times.items():
        last = durations[-runs:]
        sums[kinds[node]].append(sum(last) / len(last))
    whole = sum(map(sum, sums.values())) or 1.0
    rows = [
        {"op": op, "dtype": dtype, "nodes": len(ms), "ms": round(sum(ms), 4), "share": round(sum(ms) / whole, 4)}
        for (op, dtype), ms in sums.items()
    ]
    return sorted(rows, key=lambda row: -float(str(row["ms"])))
