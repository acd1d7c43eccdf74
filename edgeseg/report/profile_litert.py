"""Where LiteRT spends its time, by kernel, from the profiler behind its C interface.

LiteRT's Python interpreter has no profiler. The C library of the same wheel has one (`litert/c/litert_profiler.h`), and
XNNPACK reports each of its kernels to it. It is called here by `ctypes` in a process of its own: an interface that has changed
costs this profile and nothing else.

    python -m edgeseg.report.profile_litert FILE THREADS RUNS

prints LiteRT's own table of each inference, whose rows `parse_table` reads. Times are whole microseconds there, and another
process may take the processor away: the mean of the quickest quarter counts. The input is zeros: kernels take as long for
any values.
"""

from __future__ import annotations

import ctypes
import dataclasses
import re
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeseg.errors import ModelError
from edgeseg.report.kernels import Kernel

WARMUP = 5
END = "end of the table"
TIMEOUT_S = 300
SIGNATURE = 0
HOST_MEMORY, CPU = 1, 1  # LiteRtTensorBufferType, LiteRtHwAccelerators
TYPE_BYTES = 512  # more than a LiteRtRankedTensorType
RUN_ORDER, TOP = " Run Order ", " Top by Computation Time "
INTEGERS, FLOATS = re.compile(r"\b(QS8|QU8|QC8W?|S8|U8|X8)\b"), re.compile(r"\b(F32|X32)\b")  # in XNNPACK's names
ROW = re.compile(
    r"\s*(?P<kind>\S.*?)\s+(?P<start>[\d.]+)\s+(?P<first>[\d.]+)\s+(?P<ms>[\d.]+)\s+(?P<share>[\d.]+)%\s+[\d.]+%\s+[\d.]+\s+"
    r"(?P<calls>\d+)\s+\[(?P<name>.*)\]:(?P<index>\d+)\s*$"
)


def profile_kernels(path: Path, threads: int = 1, runs: int = 50) -> list[Kernel]:
    """The kernels of a `.tflite` file. ModelError with the reason where there is no profile to be had."""
    command = [sys.executable, "-m", __name__, str(path), str(threads), str(runs)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ModelError(f"LiteRT's profiler gave no result within {TIMEOUT_S} s") from None
    if done.returncode < 0:
        raise ModelError(
            f"LiteRT's profiler died ({signal.Signals(-done.returncode).name}): this LiteRT has another C interface"
        )
    tables = [parse_table(text) for text in done.stdout.split(END)[:-1]]
    if done.returncode or not all(tables) or len({len(table) for table in tables}) != 1:
        last = (done.stderr.strip().splitlines() or ["it printed no table"])[-1]
        raise ModelError(f"LiteRT's profiler is not to be had: {last[:200]}")
    return [dataclasses.replace(rows[0], ms=quick_mean([row.ms for row in rows])) for rows in zip(*tables, strict=True)]


def quick_mean(values: list[float]) -> float:
    """The mean of the quickest quarter, or of the quickest alone."""
    return statistics.fmean(sorted(values)[: max(1, len(values) // 4)])


def parse_table(text: str) -> list[Kernel]:
    """The rows of the first table (in run order) that LiteRT's profile summary holds."""
    _, _, ordered = text.partition(RUN_ORDER)
    rows = [match for line in ordered.partition(TOP)[0].splitlines() if (match := ROW.match(line))]
    whole = sum(float(row["ms"]) for row in rows)  # the shares have more digits than the times
    return [
        Kernel(
            row["kind"].removeprefix("Delegate/"),
            whole * float(row["share"]) / 100,
            dtype="int8" if INTEGERS.search(row["kind"]) else "float32" if FLOATS.search(row["kind"]) else "?",
            index=None if row["name"] == "Delegate" else int(row["index"]),
        )
        for row in rows
    ]


def _child(path: str, threads: int, runs: int) -> Iterator[str]:
    """LiteRT's summaries of `runs` profiled inferences."""
    import ai_edge_litert

    library = ctypes.CDLL(str(Path(ai_edge_litert.__file__).parent / "libLiteRt.so"))

    def call(function: str, *arguments: Any) -> None:
        if status := getattr(library, function)(*arguments):
            raise ModelError(f"{function} gave status {status}")

    def made(function: str, *arguments: Any) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        call(function, *arguments, ctypes.byref(handle))
        return handle

    environment = made("LiteRtCreateEnvironment", 0, None)
    model = made("LiteRtCreateModelFromFile", environment, path.encode())
    options = made("LiteRtCreateOptions")
    call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
    keep = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda payload: None)  # the payloads are ours to free
    payloads = [
        ctypes.create_string_buffer(f"{line}\n".encode()) for line in ("enable_profiling = true", f"num_threads = {threads}")
    ]
    for identifier, payload in zip((b"runtime_options_string", b"xnnpack"), payloads, strict=True):
        call("LiteRtAddOpaqueOptions", options, made("LiteRtCreateOpaqueOptions", identifier, payload, keep))
    compiled = made("LiteRtCreateCompiledModel", environment, model, options)
    profiler = made("LiteRtCompiledModelGetProfiler", compiled)
    if not profiler:
        raise ModelError("the compiled model has no profiler")
    signature = made("LiteRtGetModelSignature", model, ctypes.c_size_t(SIGNATURE))
    ends = []
    for end in ("Input", "Output"):
        where = (compiled, ctypes.c_size_t(SIGNATURE), ctypes.c_size_t(0))
        needs = made(f"LiteRtGetCompiledModel{end}BufferRequirements", *where)
        size = ctypes.c_size_t()
        call("LiteRtGetTensorBufferRequirementsBufferSize", needs, ctypes.byref(size))
        kind = (ctypes.c_byte * TYPE_BYTES)()
        call("LiteRtGetRankedTensorType", made(f"LiteRtGetSignature{end}TensorByIndex", signature, ctypes.c_size_t(0)), kind)
        ends.append((ctypes.c_void_p * 1)(made("LiteRtCreateManagedTensorBuffer", environment, HOST_MEMORY, kind, size)))

    def run(times: int) -> None:
        for _ in range(times):
            one = ctypes.c_size_t(1)
            call("LiteRtRunCompiledModel", compiled, ctypes.c_size_t(SIGNATURE), one, ends[0], one, ends[1])

    run(WARMUP)
    for _ in range(runs):
        call("LiteRtResetProfiler", profiler)
        call("LiteRtStartProfiler", profiler)
        run(1)
        call("LiteRtStopProfiler", profiler)
        summary = ctypes.c_char_p()
        call("LiteRtGetProfileSummary", profiler, compiled, ctypes.byref(summary))
        yield (summary.value or b"").decode(errors="replace")


if __name__ == "__main__":
    try:
        for table in _child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])):
            print(table, END, sep="\n")
    except (ModelError, OSError, AttributeError) as error:
        sys.exit(f"{error}")
