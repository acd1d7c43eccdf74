"""The kernels of a model file from the profiler of its backend: ONNX Runtime's own, or LiteRT's (`profile_litert.py`)."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgeseg.errors import ModelError
from edgeseg.report.kernels import Kernel
from edgeseg.report.latency import noise
from edgeseg.report.profile_litert import profile_kernels as profile_litert
from edgeseg.runtime.session import Session

RUNS = 50
WARMUP = 5


def profile(session: Session, threads: int = 1, runs: int = RUNS) -> list[Kernel]:
    """The kernels of a session's file, in the order of execution. ModelError with the reason where there is no profile."""
    if session.path is None or session.backend not in ("ort", "litert"):
        raise ModelError(f"backend {session.backend} does not tell the time of its operators")
    if session.backend == "litert":
        return profile_litert(session.path, threads, runs)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdqisint8allowed", "1")  # as `runtime/backends/ort.py` runs it
    options.enable_profiling = True
    tensor = session.prepare(noise(session.spec.size))
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        profiled = onnxruntime.InferenceSession(str(session.path), options, providers=["CPUExecutionProvider"])
        feed = {profiled.get_inputs()[0].name: tensor}
        for _ in range(WARMUP + runs):
            profiled.run(None, feed)
        events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
    return read_trace(events, runs)


def read_trace(events: Iterable[dict[str, Any]], runs: int) -> list[Kernel]:
    """Kernels from ONNX Runtime's trace: the median of each node over the last `runs` inferences."""
    suffix = "_kernel_time"
    times: dict[str, list[float]] = defaultdict(list)  # by node, in the order of the first inference
    kinds: dict[str, tuple[str, str]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(suffix):
            outputs = event["args"].get("output_type_shape") or [{}]
            name = event["name"].removesuffix(suffix)
            times[name].append(event["dur"] / 1e3)
            kinds[name] = (event["args"].get("op_name", "?"), next(iter(outputs[0]), "?"))
    return [
        Kernel(kinds[name][0], statistics.median(durations[-runs:]), name, kinds[name][1]) for name, durations in times.items()
    ]
