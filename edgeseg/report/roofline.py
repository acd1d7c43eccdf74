"""How near each layer comes to what the machine can do at best: the roofline of Williams, Waterman & Patterson (2009).

A layer needs at least max(MACs / peak, bytes moved / bandwidth). The peaks of this machine are measured: a chain of 1x1
convolutions with 512 channels, in float32 and int8, by the runtimes that are installed, and a copy of a large array. Those of
other devices are estimates from published figures (`boards.py`).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.errors import EdgesegError, ModelError
from edgeseg.report.boards import BOARDS, Peaks
from edgeseg.report.peak_models import MACS, write_onnx, write_tflite
from edgeseg.runtime.backends import litert, open_backend, ort

SECONDS = 1.0  # of each micro-benchmark
COPY_BYTES = 64 * 2**20  # far more than caches hold
WARMUP = 3


def measure_peaks(threads: int = 1, seconds: float | None = None) -> Peaks:
    """What this machine reaches, in `seconds` (`SECONDS` if not given) of each try. ModelError where no runtime is installed.

    Of several runtimes the quickest counts, and of its runs the quickest: this is a limit.
    """
    seconds = SECONDS if seconds is None else seconds
    found: dict[str, tuple[float, str]] = {}
    writers = {"LiteRT": (litert.installed, write_tflite), "ONNX Runtime": (ort.installed, write_onnx)}
    with tempfile.TemporaryDirectory() as folder:
        for name, (installed, write) in writers.items():
            for precision in ("float32", "int8"):
                path = Path(folder) / f"{name}-{precision}"
                try:
                    if installed() is None:
                        continue
                    write(path, precision)
                    quickest = _quickest(_inference(path, threads), seconds, threads)
                except EdgesegError:  # one runtime is enough
                    continue
                found[precision] = max(found.get(precision, (0.0, "")), (MACS / quickest, name))
    if "float32" not in found:
        raise ModelError("no inference backend is installed; run: pip install ai-edge-litert")
    rate = 2 * COPY_BYTES / _quickest(_copy(threads), seconds, threads)
    runtimes = ", ".join(f"{precision} by {name}" for precision, (_, name) in found.items())
    how = f"1x1 convolutions of 512 channels ({runtimes}) and a copy of {COPY_BYTES >> 20} MiB, {threads} thread(s)"
    return Peaks(found["float32"][0], found.get("int8", (None, ""))[0], rate, True, how)


def _inference(path: Path, threads: int) -> Callable[[], object]:
    backend = open_backend(path, threads=threads)
    tensor = np.zeros(backend.input_shape, backend.input_dtype)
    return lambda: backend.run(tensor)


def _copy(threads: int) -> Callable[[], object]:
    source = np.ones((threads, COPY_BYTES // threads), np.uint8)
    target = np.zeros_like(source)
    if threads == 1:
        return lambda: np.copyto(target, source)
    pool = ThreadPoolExecutor(threads)  # numpy copies without the interpreter's lock
    return lambda: list(pool.map(lambda i: np.copyto(target[i], source[i]), range(threads)))


def _quickest(work: Callable[[], object], seconds: float, threads: int) -> float:
    """Seconds of the quickest run in `seconds`. With one thread of processor time, which no other process takes part in."""
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in range(WARMUP):
        work()
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        start = clock()
        work()
        best = min(best, clock() - start)
    return best


def limit_ms(layer: Mapping[str, Any], peaks: Peaks) -> float:
    """What a layer (`costs.layer_to_json`) needs at least."""
    seconds = max(layer["macs"] / peaks.macs_per_s(layer["operands"]), layer["moved_bytes"] / peaks.bytes_per_s)
    return 1e3 * float(seconds)


def bound_by(layer: Mapping[str, Any], peaks: Peaks) -> str:
    """Which of the two limits a layer meets first: "arithmetic" or "memory"."""
    needs_more = layer["macs"] / peaks.macs_per_s(layer["operands"]) >= layer["moved_bytes"] / peaks.bytes_per_s
    return "arithmetic" if needs_more else "memory"


def at_best_ms(layers: Iterable[Mapping[str, Any]], peaks: Peaks) -> float:
    """What all layers need at least, one after the other."""
    return sum(limit_ms(layer, peaks) for layer in layers)


def add_limits(row: dict[str, Any], measured: Mapping[str, Any] | None) -> None:
    """Give a row of a report `at_best_ms` and its layers `limit_ms`, `bound` and `limit_share`, in place.

    measured     this machine's peaks, or None where they were not asked for
    limit_share  limit / time, where the layer's time is known and the peaks are measured
    """
    layers = row.pop("counted_layers", None)
    if layers is None:
        return
    cores = {name: row["threads"] if board.is_cpu else None for name, board in BOARDS.items()}
    row["at_best_ms"] = {n: round(at_best_ms(layers, board.peaks(cores[n])), 4) for n, board in BOARDS.items()}
    if measured is None:
        return
    peaks = Peaks(**measured)
    row["at_best_ms"] = {"measured": round(at_best_ms(layers, peaks), 4)} | row["at_best_ms"]
    for layer in row.get("layers", []):
        limit = limit_ms(layer, peaks)
        layer |= {"limit_ms": round(limit, 5), "bound": bound_by(layer, peaks)}
        if layer["ms"]:
            layer["limit_share"] = round(limit / layer["ms"], 4)
