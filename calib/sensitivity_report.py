"""Sensitivity as a table, as JSON and CSV, and as a picture: one bar a layer, in the network's order."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeseg.calib.sensitivity import LayerSensitivity, worst_first
from edgeseg.errors import MissingExtraError
from edgeseg.whole import write_whole, written_whole

NAME = "sensitivity"
ROW_INCHES = 0.17
OWN, ACCUMULATED, LOST = "#4477aa", "#99bbdd", "#cc6677"  # told apart without colour vision too (Tol 2021, "muted")


def require() -> None:
    """MissingExtraError where the picture cannot be drawn; asked before the work, which takes a while."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "report", "drawing the sensitivity of layers")


def to_table(layers: Sequence[LayerSensitivity], most: int | None = None) -> str:
    """Text, the worst layer first; `most` rows."""
    rows = worst_first(layers)[:most]
    width = max([len("layer"), *(len(row.layer) for row in rows)])
    lines = [f"{'layer':{width}} {'operator':20} own dB  acc. dB  logits dB  pixels lost  mIoU points lost"]
    lines += [
        f"{row.layer:{width}} {row.operator:20} {row.own_db:6.1f} {row.accumulated_db:8.1f} {row.logits_db:10.1f}"
        f" {1 - row.agreement:12.3%} {row.miou_lost:+17.3f}"
        for row in rows
    ]
    return "\n".join(lines)


def to_json(layers: Sequence[LayerSensitivity], about: dict[str, Any]) -> str:
    """`about` says what was measured: the model, its size, how many pictures."""
    return json.dumps({**about, "layers": [dataclasses.asdict(layer) for layer in layers]}, indent=2) + "\n"


def to_csv(layers: Sequence[LayerSensitivity]) -> str:
    """A line a layer, in the network's order."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in dataclasses.fields(LayerSensitivity)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(layer) for layer in layers)
    return out.getvalue()


def write_report(folder: Path, layers: Sequence[LayerSensitivity], about: dict[str, Any]) -> None:
    """sensitivity.json, .csv, .txt (worst first) and .png in `folder`. OutputError where they cannot be written."""
    write_whole(folder / f"{NAME}.json", to_json(layers, about).encode())
    write_whole(folder / f"{NAME}.csv", to_csv(layers).encode())
    write_whole(folder / f"{NAME}.txt", f"{to_table(layers)}\n".encode())
    with written_whole(folder / f"{NAME}.png") as part:
        draw(part, layers, f"{about['model']}: what int8 costs, layer by layer ({about['images']} pictures)")


def draw(path: Path, layers: Sequence[LayerSensitivity], title: str) -> None:
    """Horizontal bars: noise on the left, pixels that change class on the right. A PNG of 110 dots an inch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.3 + ROW_INCHES * len(layers)), layout="constrained")
    FigureCanvasAgg(figure)
    noise, lost = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    rows = range(len(layers))
    noise.barh([y - 0.2 for y in rows], [layer.own_db for layer in layers], 0.4, color=OWN, label="this layer alone rounds")
    accumulated = [layer.accumulated_db for layer in layers]
    noise.barh([y + 0.2 for y in rows], accumulated, 0.4, color=ACCUMULATED, label="all layers round")
    noise.set_yticks(list(rows), [layer.layer for layer in layers], fontsize=7)
    noise.set_ylim(len(layers) - 0.4, -0.6)  # the first layer on top
    noise.set_xlabel("SQNR of the layer's result, dB (more is better)")
    noise.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, fontsize=8)
    lost.barh(list(rows), [100 * (1 - layer.agreement) for layer in layers], 0.6, color=LOST)
    lost.set_xlabel("pixels that change class, this layer alone, %")
    for axes in (noise, lost):
        axes.grid(axis="x", linewidth=0.4)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    worst = worst_first(layers)[:3]
    for y, layer in enumerate(layers):
        if layer in worst:
            lost.annotate(f" {1 - layer.agreement:.2%}", (100 * (1 - layer.agreement), y), fontsize=7, va="center")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)
