"""The Pareto front of a search: trials of which none is better than another in all that counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgeseg.errors import MissingExtraError
from edgeseg.whole import write_whole, written_whole

COSTS = {"macs": (1e6, "MMAC"), "size_bytes": (1e3, "kB"), "latency_ms": (1.0, "ms")}
Figure = Any  # of matplotlib
WIDE = 4  # times the least: from here on an axis is logarithmic


@dataclass(frozen=True)
class Trial:
    """A recipe that a search has tried. The more of `accuracy` and the less of the rest, the better."""

    number: int
    accuracy: float
    macs: int
    size_bytes: int
    latency_ms: float
    choice: dict[str, Any]
    path: str  # of its checkpoint
    files: tuple[str, ...] = field(default=())

    @property
    def costs(self) -> tuple[float, ...]:
        """All to be small."""
        return (-self.accuracy, *(float(getattr(self, name)) for name in COSTS))


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Those that no other one dominates, the cheapest first. Of several that cost and score the same, the earliest."""
    best = [t for t in trials if not any(_dominates(o, t) for o in trials)]
    first = {t.costs: t for t in sorted(best, key=lambda t: -t.number)}
    return sorted(first.values(), key=lambda t: (t.macs, -t.accuracy, t.number))


def _dominates(a: Trial, b: Trial) -> bool:
    return a.costs != b.costs and all(x <= y for x, y in zip(a.costs, b.costs, strict=True))


def to_table(found: Sequence[Trial], metric: str) -> str:
    """Markdown."""
    heads = ["trial", metric, *(unit for _, unit in COSTS.values()), "choice"]
    rows = [
        [
            str(trial.number),
            f"{trial.accuracy:.4f}",
            *(f"{getattr(trial, name) / scale:.2f}" for name, (scale, _) in COSTS.items()),
            ", ".join(
                f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in _told(trial.choice)
            ),
        ]
        for trial in found
    ]
    lines = [heads, ["---:"] * (len(heads) - 1) + ["---"], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def write(folder: Path, trials: Sequence[Trial], found: Sequence[Trial], metric: str, about: dict[str, Any]) -> dict[str, Any]:
    """front.json, front.md and front.png; gives the document of the first.

    MissingExtraError, after the other two are written, where there is no matplotlib.
    """
    document = about | {"metric": metric, "front": [asdict(t) for t in found], "trials": [asdict(t) for t in trials]}
    write_whole(folder / "front.json", json.dumps(document, indent=2).encode())
    write_whole(folder / "front.md", to_table(found, metric).encode())
    with written_whole(folder / "front.png") as part:
        draw(trials, found, metric).savefig(part, dpi=120)
    return document


def draw(trials: Sequence[Trial], found: Sequence[Trial], metric: str) -> Figure:
    """A panel for each cost: all trials, and those of the front with their numbers."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
    except ImportError:
        raise MissingExtraError("matplotlib", "report", "the plot of a search") from None
    figure = Figure(figsize=(4.2 * len(COSTS), 4), layout="constrained")
    numbers = {trial.number for trial in found}
    rest = [trial for trial in trials if trial.number not in numbers]
    for axes, (name, (scale, unit)) in zip(figure.subplots(1, len(COSTS)), COSTS.items(), strict=True):
        axes.scatter([getattr(t, name) / scale for t in rest], [t.accuracy for t in rest], s=14, color="0.7", label="tried")
        axes.scatter([getattr(t, name) / scale for t in found], [t.accuracy for t in found], s=26, label="front")
        for trial in found:
            at = (getattr(trial, name) / scale, trial.accuracy)
            axes.annotate(str(trial.number), at, xytext=(3, 3), textcoords="offset points", fontsize=7)
        values = [getattr(t, name) / scale for t in trials]
        if max(values) > WIDE * min(values):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(unit)
        axes.set_ylabel(metric)
        axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


def _told(choice: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in choice.items() if value is not None]
