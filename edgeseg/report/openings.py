"""A file opened several times, whose openings take turns, and the network that is measured beside it.

Where the weights and buffers of one opening happen to lie in memory makes it some percent faster or slower than the next one
for as long as it is open (ONNX Runtime by up to 8 % of the default model's time on an EPYC, LiteRT by 3 %): a report of a
single opening would say of the file what is an accident of the day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgeseg import assets
from edgeseg.report.latency import noise
from edgeseg.report.reference import NETWORK, Reference, reference_like
from edgeseg.runtime.backends import litert, ort
from edgeseg.runtime.session import Session, open_session

OPENINGS = 4
INSTALLED = {"litert": litert.installed, "ort": ort.installed}  # the package of each backend
FORMATS = {"litert": "tflite", "ort": "onnx"}  # what each backend runs


@dataclass
class Openings:
    """Called, it runs the inference of the opening whose turn it is."""

    runs: Sequence[Callable[[], object]]
    _turn: int = 0

    def __call__(self) -> object:
        return self.runs[self._turn]()

    def next(self) -> None:
        """It is the turn of the next one."""
        self._turn = (self._turn + 1) % len(self.runs)


def open_often(path: Path, backend: str, threads: int) -> tuple[Session, Openings]:
    """The first session of a file, and all of them. EdgesegError where it cannot be opened."""
    sessions = [open_session(path, backend=backend, threads=threads) for _ in range(OPENINGS)]  # type: ignore[arg-type]
    return sessions[0], Openings([inference(session) for session in sessions])


def inference(session: Session) -> Callable[[], object]:
    """One inference of a frame of noise, from tensor to tensor."""
    tensor = session.prepare(noise(session.spec.size))
    return lambda: session.run(tensor)


@dataclass(frozen=True)
class Beside:
    """`NETWORK` in the runtime of a file, for about as long as the file takes.

    name  tells it from any other, and says the runtime's version: "person-small 0a1b2c3d4e5f, onnxruntime 1.31.1"
    """

    name: str
    work: Reference
    openings: Openings


def network_beside(run: Callable[[], object], backend: str, threads: int) -> Beside | None:
    """What to measure beside `run`, a file's inference; None where the network does not ship or cannot be run."""
    try:
        package = INSTALLED[backend]()
        path = assets.find(NETWORK, FORMATS[backend])
        _, openings = open_often(path, backend, threads)
        work = reference_like(run, openings)
    except Exception:  # of a user's own runtime, or of the file: `measure` will say so
        return None
    name = f"{NETWORK} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}, {package} {metadata.version(str(package))}"
    return Beside(name, work, openings)
