"""A row of `edgeseg bench`: what is known of one file with one number of threads, as plain data."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.errors import EdgesegError
from edgeseg.report.compare import fair_rounds, speedup
from edgeseg.report.cost_file import count_file
from edgeseg.report.costs import layer_to_json
from edgeseg.report.energy import Meter
from edgeseg.report.kernels import assign, by_operator
from edgeseg.report.latency import Timing
from edgeseg.report.openings import FORMATS, Beside
from edgeseg.report.operators import profile
from edgeseg.report.reference import WORK
from edgeseg.runtime.session import Session

PERCENTS = tuple(5 * i / 2 for i in range(41))  # at which the distribution of latencies is kept
ENERGY_S = 1.0  # inferences that energy is counted over
DISTINCT = ("model", "size_hw", "format", "precision", "threads")  # what tells rows apart
MOST_PAIRS = 40

Row = dict[str, Any]


def describe(path: Path, session: Session, threads: int) -> Row:
    """What the file says of itself."""
    spec = session.spec
    return {
        "model": spec.model,
        "format": FORMATS.get(session.backend, session.backend),
        "precision": spec.precision,
        "backend": session.backend,
        "threads": threads,
        "size_hw": list(spec.size),
        "macs": spec.macs,
        "flops": None if spec.macs is None else 2 * spec.macs,
        "params": spec.params,
        "size_bytes": path.stat().st_size,
        "accuracy": spec.accuracy,
        "weights_sha256": spec.weights_sha256,
    }


def times_of(timing: Timing, cold_ms: float, repeats: int, beside: Beside | None = None) -> Row:
    """What the clock said. `repeats` are the units of arithmetic in `timing.reference` (`reference.py`); `beside` is what
    `timing.network` is of.
    """
    row: Row = {
        "latency_ms": timing.percentiles() | {"cold": cold_ms},
        "quantiles_ms": timing.quantiles(PERCENTS),
        "runs": timing.runs,
        "rounds": len(timing.rounds),
    }
    if timing.reference is not None and timing.reference.error is None:
        row |= {"reference_repeats": repeats, "reference_work": WORK}
        row["blocks"] = {
            "start_s": [round(s, 3) for s in timing.starts_s],
            "wall_ms": _medians(timing.rounds),
            "cpu_ms": _medians(timing.cpu),
            "reference_wall_ms": _medians(timing.reference.rounds),
            "reference_cpu_ms": _medians(timing.reference.cpu),
        }
        if beside is not None and timing.network is not None and timing.network.error is None:
            row |= {"network": beside.name, "network_repeats": beside.work.repeats}
            row["blocks"]["network_wall_ms"] = _medians(timing.network.rounds)
            row["blocks"]["network_cpu_ms"] = _medians(timing.network.cpu)
    return row


def _medians(blocks: Sequence[Sequence[float]]) -> list[float]:
    return [round(statistics.median(block), 5) for block in blocks]


def layers_of(session: Session, threads: int, *, profiled: bool) -> Row:
    """What the file costs, and with `profiled` how long each of its layers and kinds of operator takes."""
    row: Row = {}
    cost = None
    try:
        assert session.path is not None
        cost = count_file(session.path)
    except EdgesegError as error:  # a device may lack the package that reads ONNX files
        row["cost"] = {"error": str(error)}
    else:
        row["cost"] = {
            "params": cost.params,
            "macs": cost.macs,
            "moved_bytes": cost.moved_bytes,
            "intensity": round(cost.intensity, 3),
            "peak_bytes": cost.peak_bytes,
            "peak_layer": cost.peak_layer,
            "uncounted": cost.uncounted,
        }
        row["counted_layers"] = [layer_to_json(layer) for layer in cost.layers]  # for `roofline.add_limits`, which takes it
    if not profiled:
        return row
    layers = [] if cost is None else [layer_to_json(layer) | {"ms": None, "share": None} for layer in cost.layers]
    try:
        kernels = profile(session, threads)
    except EdgesegError as error:
        return row | {"operators": None, "layers": layers, "profile_error": str(error)}
    row["operators"] = by_operator(kernels)
    if cost is not None:
        times = assign(kernels, cost.layers)
        whole = times.total_ms or 1.0
        for layer in layers:
            ms = times.ms.get(layer["name"], 0.0)  # what has no kernel of its own is done inside another
            layer |= {"ms": round(ms, 5), "share": round(ms / whole, 5)}
        row["other_ms"] = {kind: round(ms, 5) for kind, ms in times.other.items()}
    return row | {"layers": layers}


def energy_mj(meter: Meter, run: Callable[[], object], expected_ms: float) -> float:
    """Millijoules of one inference, over about a second of them."""
    runs = max(10, int(1000 * ENERGY_S / expected_ms))

    def work() -> None:
        for _ in range(runs):
            run()

    return round(1000 * meter.joules(work) / runs, 4)


def compare_rows(rows: Sequence[Row], measured: Mapping[int, Timing]) -> list[dict[str, Any]]:
    """{"first", "second", "differ", "value", "low", "high", "verdict"} of every two rows that differ in one thing alone.

    value  how many times faster the second is than the first
    """
    found: list[dict[str, Any]] = []
    for i in measured:
        for j in measured:
            differ = [key for key in DISTINCT if rows[i].get(key) != rows[j].get(key)]
            if i >= j or len(differ) != 1:
                continue
            ratio = speedup(*fair_rounds([measured[i], measured[j]], [rows[i]["threads"], rows[j]["threads"]]))
            if ratio is not None and len(found) < MOST_PAIRS:
                found.append(
                    {
                        "first": i,
                        "second": j,
                        "differ": differ[0],
                        "value": round(ratio.value, 3),
                        "low": round(ratio.low, 3),
                        "high": round(ratio.high, 3),
                        "verdict": str(ratio),
                    }
                )
    return found
