"""What has come of a recipe: a table, JSON, and what is missed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg.recipes.budget import Costs, Floor, exceeded, told
from edgeseg.recipes.state import Row
from edgeseg.whole import write_whole


@dataclass(frozen=True)
class Outcome:
    """rows: the original and every step. `chosen`, one of them, is the one in `path`."""

    model: str
    recipe: str
    path: Path  # of the result
    seed: int
    size: tuple[int, int]
    rows: tuple[Row, ...]
    limits: Mapping[str, float]
    floor: Floor
    chosen: int
    costs: Costs  # of the result: as exported where it was, else an estimate
    estimated: tuple[str, ...]  # of the costs, those that nobody measured
    missed: tuple[str, ...]  # phrases

    @property
    def metric(self) -> str:
        return self.floor.named(self.rows[0].scores)

    def delta(self, row: Row) -> float:
        """Points of 100 against the original."""
        return 100 * (row.scores[self.metric] - self.rows[0].scores[self.metric])

    def markdown(self) -> str:
        """A table of the steps, what is bought with them, and the files."""
        first = self.rows[0].costs
        lines = [
            f"| step | MMAC | k params | kB | {self.metric} | points |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for i, row in enumerate(self.rows):
            size = max((file["size_bytes"] for file in row.files), default=row.costs.size_bytes)
            lines.append(
                f"| {f'{i}. ' if i else ''}{row.title} | {row.costs.macs / 1e6:.1f} | {row.costs.params / 1e3:.0f} | "
                f"{size / 1e3:.0f} | {row.scores[self.metric]:.4f} | {self.delta(row):+.2f} |"
            )
        saved = {"multiply-adds": "macs", "parameters": "params", "bytes": "size_bytes"}
        ratios = [f"{getattr(first, name) / getattr(self.costs, name):.1f} times fewer {what}" for what, name in saved.items()]
        lines += ["", f"{', '.join(ratios)} than the original in float32.", ""]
        for file in (file for row in self.rows for file in row.files):
            kept = f", {len(file['float_layers'])} layers in float" if file["float_layers"] else ""
            ms = f", {file['latency_ms']:.2f} ms here" if "latency_ms" in file else ""
            lines.append(
                f"- `{Path(file['path']).name}`: {file['size_bytes'] / 1e3:.0f} kB, {self.metric} "
                f"{file['scores'][self.metric]:.4f}, {file['agreement']:.2%} of the pixels as the network{kept}{ms}"
            )
        for name, limit in self.limits.items():
            value = getattr(self.costs, name)
            how = " (an estimate)" if name in self.estimated else ""
            lines.append(f"- budget {name} <= {told(name, limit)}: {told(name, value)}{how}")
        if str(self.floor):
            lines.append(f"- floor {self.floor}: {self.rows[self.chosen].scores[self.metric]:.4f}")
        lines += [f"- missed: {phrase}" for phrase in self.missed]
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        """The document of `edgeseg compress --json`."""
        return {
            "model": self.model,
            "recipe": self.recipe,
            "path": str(self.path),
            "size_hw": list(self.size),
            "seed": self.seed,
            "metric": self.metric,
            "budget": dict(self.limits),
            "floor": self.floor.goal(self.rows[0].scores),
            "steps": [
                {
                    "title": row.title,
                    "path": str(self.path.parent / row.file),
                    "macs": row.costs.macs,
                    "params": row.costs.params,
                    "size_bytes": row.costs.size_bytes,
                    "accuracy": row.scores,
                    "points": round(self.delta(row), 2),
                    "seconds": round(row.seconds, 1),
                    "files": list(row.files),
                }
                for row in self.rows
            ],
            "result": {
                "step": self.chosen,
                "macs": self.costs.macs,
                "params": self.costs.params,
                "size_bytes": self.costs.size_bytes,
                "latency_ms": self.costs.latency_ms,
                "estimated": list(self.estimated),
                "accuracy": self.rows[self.chosen].scores,
                "points": round(self.delta(self.rows[self.chosen]), 2),
            },
            "missed": list(self.missed),
        }

    def write(self) -> None:
        """report.json and report.md."""
        write_whole(self.path.parent / "report.json", json.dumps(self.to_json(), indent=2).encode())
        title = f"# {self.model} by {self.recipe}, at {self.size[0]}x{self.size[1]}\n\n"
        write_whole(self.path.parent / "report.md", (title + self.markdown()).encode())


def choose(rows: Sequence[Row], limits: Mapping[str, float], floor: Floor) -> int:
    """Which row's network is the result: the last one; where that misses the floor, the most accurate of those whose
    multiply-adds and parameters are within the budget.
    """
    scores = rows[0].scores
    name, goal = floor.named(scores), floor.goal(scores)
    last = len(rows) - 1
    if goal is None or rows[last].scores[name] >= goal:
        return last
    counted = {key: limit for key, limit in limits.items() if key in ("macs", "params")}
    within = [i for i, row in enumerate(rows) if i and not exceeded(counted, row.costs)]
    return max(within, key=lambda i: (rows[i].scores[name], i), default=last)
