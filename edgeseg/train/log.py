"""The log of a training: a row an epoch, as a table (log.csv)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeseg.whole import write_whole

COLUMNS = ("epoch", "seconds", "loss", "learning_rate", "val_iou")


@dataclass(frozen=True)
class Row:
    """An epoch. `scores` of the validation, the most important first; empty where there was none."""

    epoch: int  # from 1
    seconds: float  # since the beginning
    loss: float
    learning_rate: float
    scores: dict[str, float] = field(default_factory=dict)


def last_scores(rows: Sequence[Row]) -> dict[str, float]:
    """Of the newest validation; empty where there was none yet."""
    return next((row.scores for row in reversed(rows) if row.scores), {})


def write_log(path: Path, rows: Sequence[Row]) -> None:
    """Write the whole table. `val_iou` is the most important score; a column for each other one follows, by name."""
    names = list(dict.fromkeys(name for row in rows for name in list(row.scores)[1:]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *names])
    for row in rows:
        main = next(iter(row.scores.values()), None)
        scores = [main, *(row.scores.get(name) for name in names)]
        figures = ["" if score is None else f"{score:.4f}" for score in scores]
        writer.writerow([row.epoch, round(row.seconds), f"{row.loss:.4f}", f"{row.learning_rate:.2e}", *figures])
    write_whole(path, text.getvalue().encode())
