"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "missing", "bad"]


@dataclass(frozen=True)
class Check:
    """One finding. "missing" is something optional that is not there, "bad" something that must be mended."""

    name: str
    verdict: Verdict
    detail: str
