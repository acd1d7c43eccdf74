"""One model file in a fresh process that does nothing else: how long from cold, and how much memory at most.

    python -m edgeseg.report.probe FILE BACKEND THREADS RUNS

prints one line of JSON. A file that makes its runtime crash ends this process, not the report.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from edgeseg.errors import EdgesegError, ModelError

RUNS = 10
TIMEOUT_S = 300
_ERROR, _COLD, _PEAK = "error", "cold_ms", "peak_rss_bytes"


def probe(path: Path, backend: str = "auto", threads: int = 1, runs: int = RUNS) -> tuple[float, int]:
    """(cold_ms, peak_rss_bytes) of `path`, measured in a child process.

    cold   from nothing loaded but numpy and OpenCV to the first output: inference library, model, first inference
    peak   of the whole process with interpreter and libraries, after `runs` inferences

    ModelError with the reason where the file cannot be opened or run, or kills the process.
    """
    command = [sys.executable, "-m", __name__, str(path), backend, str(threads), str(runs)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ModelError(f"{path} gave no result within {TIMEOUT_S} s") from None
    if done.returncode < 0:
        raise ModelError(f"{path} killed the process that ran it ({signal.Signals(-done.returncode).name})")
    try:
        answer = json.loads(done.stdout.splitlines()[-1])  # runtimes may have talked before
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ModelError(f"{path} could not be run in a process of its own: {last}") from None
    if _ERROR in answer:
        raise ModelError(answer[_ERROR])
    return answer[_COLD], answer[_PEAK]


def peak_rss_bytes() -> int:
    """Of this process since it began.

    On Linux from VmHWM: `ru_maxrss` survives exec there, so that a child would report the memory of a large parent.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource  # Unix only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _child(path: str, backend: str, threads: str, runs: str) -> dict[str, float | str]:
    from edgeseg.report.latency import noise
    from edgeseg.runtime.session import open_session

    start = time.perf_counter_ns()
    session = open_session(Path(path), backend=backend, threads=int(threads))  # type: ignore[arg-type]
    tensor = session.prepare(noise(session.spec.size))
    session.run(tensor)
    cold_ms = (time.perf_counter_ns() - start) / 1e6
    for _ in range(int(runs) - 1):
        session.run(tensor)
    return {_COLD: cold_ms, _PEAK: peak_rss_bytes()}


if __name__ == "__main__":
    try:
        print(json.dumps(_child(*sys.argv[1:])))
    except EdgesegError as error:
        print(json.dumps({_ERROR: str(error)}))
