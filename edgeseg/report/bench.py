"""The report of `edgeseg bench`: what each model file costs on this machine, as plain data for JSON and for `page.py`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg import assets
from edgeseg.errors import EdgesegError, ModelError, UsageError
from edgeseg.report.boards import BOARDS
from edgeseg.report.compare import fair_rounds, is_precise, speedup
from edgeseg.report.device import describe_device, temperature_c, throttling, was_throttled
from edgeseg.report.energy import find_meter
from edgeseg.report.latency import ROUND, Timing, measure, noise
from edgeseg.report.openings import FORMATS, INSTALLED, Openings, network_beside, open_often
from edgeseg.report.probe import probe
from edgeseg.report.reference import Reference, reference_like
from edgeseg.report.roofline import add_limits, measure_peaks
from edgeseg.report.rows import compare_rows, describe, energy_mj, layers_of, times_of
from edgeseg.report.schema import SCHEMA
from edgeseg.runtime.backends import BackendName
from edgeseg.runtime.session import Session

PRECISIONS = ("float32", "float16", "int8")
STAGE_FRAME = (720, 1280)  # the camera frame that `prepare` and `decode` are timed with
STAGE_RUNS = 50

Progress = Callable[[str, float], None]  # what is being done, and which share of it is (0..1)


@dataclass(frozen=True)
class Options:
    """How to measure."""

    backend: BackendName = "auto"
    threads: tuple[int, ...] = (1,)  # every file with each of them, in the same rounds
    min_seconds: float = 2.0
    warmup: int = 10
    operators: bool = False  # profile the files too, by operator and by layer
    roofline: bool = False  # measure what this machine can do at best, too

    def __post_init__(self) -> None:
        if not self.threads or min(self.threads) < 1 or self.warmup < 0 or self.min_seconds < 0:
            raise UsageError(
                f"threads must be at least 1 and warmup and min-seconds at least 0; got {', '.join(map(str, self.threads))}, "
                f"{self.warmup} and {self.min_seconds:g}"
            )


def find_files(models: Sequence[str], backend: str = "auto") -> list[Path]:
    """Paths of what the user named: files as they are, trained models as their int8 files for every installed backend.

    With no names, the default model. A name that is neither is kept as a path: its row will say what is wrong.
    """
    paths: list[Path] = []
    for model in models or [assets.DEFAULT]:
        if models and (Path(model).exists() or model not in assets.trained()):
            paths.append(Path(model))
            continue
        wanted = [b for b in FORMATS if backend in ("auto", b) and (backend == b or INSTALLED[b]())]
        if not wanted:
            raise ModelError("no inference backend is installed; run: pip install ai-edge-litert")
        paths += [assets.find(model, FORMATS[b]) for b in wanted]
    return paths


def run_bench(paths: Sequence[Path], options: Options, on_progress: Progress | None = None) -> dict[str, Any]:
    """Measure `paths` together. The keys are those of `edgeseg bench --json`; a row for each file and number of threads.

    latency_ms   of inference alone (tensor in, tensor out); "cold" is open and first inference in a fresh process
    stages_ms    medians of `prepare` (720p frame to tensor) and `decode` (output to matte or class ids), which every frame
                 pays besides
    blocks       medians of each round, of the file and of the reference work beside it: what `compare.change` needs
    cost         of the file, counted (`costs.py`); "error" in it says why it could not be
    speedup      against the float file of the same model, size, format and threads, or else the first float file, where there
                 is one
    operators    with `Options.operators`: where the time goes by operator, None where the backend cannot tell
    layers       with it too: every layer of the file, what it costs and how long it takes, or else `profile_error`
    at_best_ms   what the file would need at best: on this machine ("measured", with `Options.roofline`), and an estimate for
                 each of `boards.BOARDS`
    energy_mj    of an inference, None where the machine cannot tell; `energy` says what told it, or why nothing does
    comparisons  of rows that differ in one thing: how many times faster the second is
    error        the reason, in place of all figures, for a file that failed
    """

    def tell(what: str, share: float) -> None:
        if on_progress:
            on_progress(what, share)

    device, before = describe_device(), throttling()
    subjects = [(path, threads) for path in paths for threads in options.threads]
    rows: list[dict[str, Any]] = [{"path": str(path)} for path, _ in subjects]
    ready: list[tuple[int, Session]] = []
    runs: list[Openings] = []
    for i, (path, threads) in enumerate(subjects):
        tell("cold start and memory, each file in its own process", i / len(subjects))
        try:
            cold_ms, peak = probe(path, options.backend, threads)
            session, openings = open_often(path, options.backend, threads)
        except EdgesegError as error:
            rows[i]["error"] = str(error)
            continue
        rows[i] |= describe(path, session, threads)
        rows[i] |= {"latency_ms": {"cold": round(cold_ms, 3)}, "peak_rss_bytes": peak}
        ready.append((i, session))
        runs.append(openings)

    references = [_beside(run) for run in runs]
    networks = [network_beside(run, session.backend, rows[i]["threads"]) for (i, session), run in zip(ready, runs, strict=True)]
    opened = [*runs, *(network.openings for network in networks if network)]

    def between_rounds(share: float) -> None:
        tell("latency, in turn", share)
        for one in opened:
            one.next()

    timings = measure(
        runs,
        min_seconds=options.min_seconds,
        warmup=options.warmup,
        references=references,
        networks=[network.work if network else None for network in networks],
        enough=is_precise,
        on_round=between_rounds,
    )
    meter = find_meter()
    measured: dict[int, Timing] = {}
    for (i, session), run, reference, network, timing in zip(ready, runs, references, networks, timings, strict=True):
        if timing.error is not None:
            rows[i] = {"path": rows[i]["path"], "error": timing.error}
            continue
        measured[i] = timing
        rows[i] |= times_of(timing, rows[i]["latency_ms"]["cold"], reference.repeats, network)
        rows[i] |= {"warmup": options.warmup, "stages_ms": _stages(session)}
        tell("cost, layers, energy", i / len(subjects))
        rows[i] |= layers_of(session, rows[i]["threads"], profiled=options.operators)
        rows[i]["energy_mj"] = None if isinstance(meter, str) else energy_mj(meter, run, rows[i]["latency_ms"]["median"])
    _compare(rows, measured)
    peaks = {}
    if options.roofline:
        tell("what this machine can do at best", 0.9)
        peaks = {str(threads): measure_peaks(threads).to_json() for threads in options.threads}
    for row in rows:
        add_limits(row, peaks.get(str(row.get("threads"))))
    return {
        "schema": SCHEMA,
        "device": device | {"temperature_end_c": temperature_c(), "throttled": was_throttled(before, throttling())},
        "measured": {
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "warmup": options.warmup,
            "min_seconds": options.min_seconds,
            "runs_per_round": ROUND,
            "threads": list(options.threads),
        },
        "energy": meter if isinstance(meter, str) else meter.source,
        "roofline": {"measured": peaks, "estimates": {name: board.to_json() for name, board in BOARDS.items()}},
        "results": rows,
        "comparisons": compare_rows(rows, measured),
    }


def _beside(run: Callable[[], object]) -> Reference:
    try:
        return reference_like(run)
    except Exception:  # a file that cannot be run: `measure` will say so
        return reference_like(lambda: None)


def _stages(session: Session) -> dict[str, float]:
    frame = noise(STAGE_FRAME)
    output = session.run(session.prepare(frame))

    def decode() -> object:
        if session.spec.person_class is not None:
            return session.matte_of(output)
        return session.ids_of(session.decode(output))

    stages: dict[str, Callable[[], object]] = {"prepare": lambda: session.prepare(frame), "decode": decode}
    medians = {}
    for name, stage in stages.items():
        times = []
        for _ in range(STAGE_RUNS):
            start = time.perf_counter_ns()
            stage()
            times.append((time.perf_counter_ns() - start) / 1e6)
        medians[name] = round(statistics.median(times), 4)
    return medians


def _compare(rows: list[dict[str, Any]], measured: dict[int, Timing]) -> None:
    """Adds `speedup` to the rows of int8 files, and to those of float16 files where there is a float32 one."""
    for i, timing in measured.items():
        reference = _reference(i, [rows[j] | {"row": j} for j in measured])
        pair = None if reference is None else fair_rounds([measured[reference], timing], [rows[i]["threads"]])
        ratio = None if pair is None else speedup(*pair)
        if reference is not None and ratio is not None:
            rows[i]["speedup"] = {
                "against": rows[reference]["path"],
                "value": round(ratio.value, 3),
                "low": round(ratio.low, 3),
                "high": round(ratio.high, 3),
                "verdict": str(ratio),
            }


def _reference(row: int, candidates: Sequence[dict[str, Any]]) -> int | None:
    """The first file of the highest precision above the row's own: of its own model, size and format, or else at all.

    With as many threads.
    """
    (own,) = (c for c in candidates if c["row"] == row)
    candidates = [c for c in candidates if c["threads"] == own["threads"]]
    better = [p for p in PRECISIONS[: PRECISIONS.index(own["precision"])] if any(c["precision"] == p for c in candidates)]
    if not better:
        return None
    floats = [c for c in candidates if c["precision"] == better[0]]
    kin = [c for c in floats if all(c[key] == own[key] for key in ("model", "size_hw", "format"))]
    return int((kin or floats)[0]["row"])
