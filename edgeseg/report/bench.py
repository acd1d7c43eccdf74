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
from edgeseg.report.compare import speedup
from edgeseg.report.device import describe_device, temperature_c
from edgeseg.report.latency import ROUND, Timing, measure, noise
from edgeseg.report.operators import profile_operators
from edgeseg.report.page import SCHEMA
from edgeseg.report.probe import probe
from edgeseg.runtime.backends import BackendName, litert, ort
from edgeseg.runtime.session import Session, open_session

FORMATS = {"litert": "tflite", "ort": "onnx"}  # what each backend runs
INSTALLED = {"litert": litert.installed, "ort": ort.installed}
PRECISIONS = ("float32", "float16", "int8")
STAGE_FRAME = (720, 1280)  # the camera frame that `prepare` and `decode` are timed with
STAGE_RUNS = 50

Progress = Callable[[str, float], None]  # what is being done, and which share of it is (0..1)


@dataclass(frozen=True)
class Options:
    """How to measure."""

    backend: BackendName = "auto"
    threads: int = 1
    min_seconds: float = 2.0
    warmup: int = 10
    operators: bool = False  # profile the files that can be, too

    def __post_init__(self) -> None:
        if self.threads < 1 or self.warmup < 0 or self.min_seconds < 0:
            raise UsageError(
                f"threads must be at least 1 and warmup and min-seconds at least 0; got {self.threads}, {self.warmup} and "
                f"{self.min_seconds:g}"
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
    """Measure `paths` together. The keys are those of `edgeseg bench --json`.

    latency_ms  of inference alone (tensor in, tensor out); "cold" is open and first inference in a fresh process
    stages_ms   medians of `prepare` (720p frame to tensor) and `decode` (output to matte or class ids), which every frame
                pays besides
    speedup     against the float file of the same model, size and format, or else the first float file, where there is one
    operators   with `Options.operators`: where the time goes (`operators.py`), None where the backend cannot tell
    error       the reason, in place of all figures, for a file that failed
    """

    def tell(what: str, share: float) -> None:
        if on_progress:
            on_progress(what, share)

    device = describe_device()
    rows: list[dict[str, Any]] = [{"path": str(path)} for path in paths]
    ready: list[tuple[int, Session]] = []
    for i, path in enumerate(paths):
        tell("cold start and memory, each file in its own process", i / len(paths))
        try:
            cold_ms, peak = probe(path, options.backend, options.threads)
            session = open_session(path, backend=options.backend, threads=options.threads)
        except EdgesegError as error:
            rows[i]["error"] = str(error)
            continue
        rows[i] |= _describe(path, session, options)
        rows[i] |= {"latency_ms": {"cold": round(cold_ms, 3)}, "peak_rss_bytes": peak}
        ready.append((i, session))

    timings = measure(
        [_inference(session) for _, session in ready],
        min_seconds=options.min_seconds,
        warmup=options.warmup,
        on_round=lambda share: tell("latency, in turn", share),
    )
    measured: dict[int, Timing] = {}
    for (i, session), timing in zip(ready, timings, strict=True):
        if timing.error is not None:
            rows[i] = {"path": rows[i]["path"], "error": timing.error}
            continue
        measured[i] = timing
        rows[i]["latency_ms"] = timing.percentiles() | rows[i]["latency_ms"]
        rows[i] |= {"runs": timing.runs, "rounds": len(timing.rounds), "warmup": options.warmup}
        rows[i]["stages_ms"] = _stages(session)
        if options.operators:
            tell("operators", 0.0)
            rows[i]["operators"] = profile_operators(session, options.threads)
    _compare(rows, measured)
    return {
        "schema": SCHEMA,
        "device": device | {"temperature_end_c": temperature_c()},
        "measured": {
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "warmup": options.warmup,
            "min_seconds": options.min_seconds,
            "runs_per_round": ROUND,
        },
        "results": rows,
    }


def _describe(path: Path, session: Session, options: Options) -> dict[str, Any]:
    spec = session.spec
    return {
        "model": spec.model,
        "format": FORMATS.get(session.backend, session.backend),
        "precision": spec.precision,
        "backend": session.backend,
        "threads": options.threads,
        "size_hw": list(spec.size),
        "macs": spec.macs,
        "flops": None if spec.macs is None else 2 * spec.macs,
        "params": spec.params,
        "size_bytes": path.stat().st_size,
        "accuracy": spec.accuracy,
    }


def _inference(session: Session) -> Callable[[], object]:
    tensor = session.prepare(noise(session.spec.size))
    return lambda: session.run(tensor)


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
        ratio = None if reference is None else speedup(measured[reference].rounds, timing.rounds)
        if reference is not None and ratio is not None:
            rows[i]["speedup"] = {
                "against": rows[reference]["path"],
                "value": round(ratio.value, 3),
                "low": round(ratio.low, 3),
                "high": round(ratio.high, 3),
                "verdict": str(ratio),
            }


def _reference(row: int, candidates: Sequence[dict[str, Any]]) -> int | None:
    """The first file of the highest precision above the row's own: of its own model, size and format, or else at all."""
    (own,) = (c for c in candidates if c["row"] == row)
    better = [p for p in PRECISIONS[: PRECISIONS.index(own["precision"])] if any(c["precision"] == p for c in candidates)]
    if not better:
        return None
    floats = [c for c in candidates if c["precision"] == better[0]]
    kin = [c for c in floats if all(c[key] == own[key] for key in ("model", "size_hw", "format"))]
    return int((kin or floats)[0]["row"])
