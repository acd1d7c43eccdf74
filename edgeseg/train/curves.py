"""Curves of a training that is going on: a picture (curves.png), and events for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeseg.errors import MissingExtraError
from edgeseg.train.log import Row
from edgeseg.whole import written_whole

Record = Callable[[Sequence[Row], bool], None]  # all rows so far, whether the training has ended
PAUSE_S = 5.0  # between two pictures, which take a fraction of a second: short epochs share one


def curves(path: Path, tell: Callable[[str], None]) -> Record:
    """Draws `path` whenever it is called with another epoch. Without matplotlib it says so at once, and does nothing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError:
        tell(f"{MissingExtraError('matplotlib', 'report', path.name)}; the training goes on without")
        return lambda rows, ended: None
    drawn = -PAUSE_S

    def record(rows: Sequence[Row], ended: bool) -> None:
        nonlocal drawn
        if rows and (ended or time.monotonic() - drawn >= PAUSE_S):
            draw(path, rows)
            drawn = time.monotonic()

    return record


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Loss, validation scores and learning rate by epoch, one above the other. `path` ends in .png."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 9), dpi=100, layout="constrained")
    loss, score, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 4, 2))
    epochs = [row.epoch for row in rows]
    for axes, values, name in ((loss, [row.loss for row in rows], "loss"), (rate, [row.learning_rate for row in rows], "rate")):
        axes.plot(epochs, values, ".-", color="#1f4e79")
        axes.set_ylabel(name)
    for i, (name, points) in enumerate(_series(rows).items()):
        label = f"{name if len(name) <= 40 else name[:39] + '…'}  {points[-1][1]:.4f}"
        score.plot(
            *zip(*points, strict=True), ".-", label=label, linewidth=2.5 if i == 0 else 1, color="black" if i == 0 else None
        )
    score.set_ylabel("validation")
    if score.lines:
        score.legend(fontsize="x-small", ncols=1 + len(score.lines) // 9, loc="best")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("epoch")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (loss, score, rate):
        axes.grid(alpha=0.3)
    loss.set_title(f"{path.parent.name}: epoch {rows[-1].epoch}, {rows[-1].seconds / 60:.0f} min", fontsize="medium")
    with written_whole(path) as part:
        figure.savefig(part)


def _series(rows: Sequence[Row]) -> dict[str, list[tuple[int, float]]]:
    """Score -> (epoch, value) of every epoch that has it."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in row.scores.items():
            series.setdefault(name, []).append((row.epoch, value))
    return series


def events(folder: Path) -> Record:
    """Writes an event file for TensorBoard: scalars by epoch, from the first on, and a mark that hides older files in `folder`.

    MissingExtraError without tensorboardX.
    """
    try:
        # Not SummaryWriter: it hands events to a thread, and its flush() does not wait for that.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar
    except ModuleNotFoundError:
        raise MissingExtraError("tensorboardX", "report", "--tensorboard") from None
    writer: Any = None
    written = 0

    def record(rows: Sequence[Row], ended: bool) -> None:
        nonlocal writer, written
        if writer is None:
            writer = EventsWriter(str(folder / "events"))
            writer.write_event(Event(wall_time=time.time(), step=1, session_log=SessionLog(status=SessionLog.START)))
        for row in rows[written:]:
            values = {"loss": row.loss, "learning_rate": row.learning_rate}
            values |= {f"validation/{name}": value for name, value in row.scores.items()}
            for name, value in values.items():
                writer.write_event(Event(wall_time=time.time(), step=row.epoch, summary=scalar(name, value)))
        written = len(rows)
        writer.flush()
        if ended:
            writer.close()

    return record
