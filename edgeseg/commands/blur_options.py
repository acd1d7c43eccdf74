"""The options of `edgeseg blur` that say how frames are made, as one group, and the line that tells how the run goes."""

from __future__ import annotations

import functools
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from edgeseg.commands.terminal import say

if TYPE_CHECKING:
    from edgeseg.runtime import Blur, StageTimes

EVERY_S = 0.25  # between two changes of the live line


class Keyframes(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """auto, every, or a number."""

    name = "auto|every|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        if value in ("auto", "every") or isinstance(value, int):
            return value  # type: ignore[no-any-return]
        if not (value.isdecimal() and int(value)):
            self.fail(f"{value!r} is not auto, every, or a number from 1 on", param, ctx)
        return int(value)


@dataclass(frozen=True)
class Making:
    """How frames are made. The names are those of `runtime.Blur` and `runtime.Refinement`."""

    kind: Any
    light_wrap: float
    keyframes: Any
    smooth: Any
    edges: Any
    largest: bool
    opening: int
    closing: int
    growth: int
    sync: Any

    def open_blur(self, model: str, background: str, strength: float, backend: Any, threads: int) -> Blur:
        from edgeseg.runtime import Blur, Refinement

        return Blur(
            model,
            background=background,
            strength=strength,
            kind=self.kind,
            light_wrap=self.light_wrap,
            keyframes=self.keyframes,
            smooth=self.smooth,
            refinement=Refinement(self.edges, self.opening, self.closing, self.growth),
            largest=self.largest,
            backend=backend,
            threads=threads,
        )


_PLANE = "in pixels of a plane of 180 lines"
_OPTIONS = (
    click.option(
        "--blur", "kind", type=click.Choice(["gaussian", "box", "bokeh"]), default="gaussian", show_default=True,
        help="Kind of the blur; bokeh makes discs of lights, as a lens does.",
    ),
    click.option(
        "--light-wrap", type=click.FloatRange(0, 1), default=0.0, show_default=True,
        help="How much of a background's light falls around the person's edge.",
    ),
    click.option(
        "--keyframes", type=Keyframes(), default="auto", show_default=True,
        help="Which frames the network looks at: as few as the picture allows, every one, or every N-th.",
    ),
    click.option(
        "--smooth", type=click.Choice(["motion", "ema", "off"]), default="motion", show_default=True,
        help="Steady the mask in time: where nothing moves, everywhere, or not at all.",
    ),
    click.option(
        "--edges", type=click.Choice(["guided", "bilateral", "plain"]), default="guided", show_default=True,
        help="How the mask finds the edges of the picture: by which filter, or not at all.",
    ),
    click.option("--largest", is_flag=True, help="Of several persons only the largest is one."),
    click.option(
        "--opening", type=click.IntRange(0, 20), default=0, show_default=True, metavar="N",
        help=f"Remove specks of the mask, {_PLANE}.",
    ),
    click.option(
        "--closing", type=click.IntRange(0, 20), default=0, show_default=True, metavar="N",
        help=f"Close holes of the mask, {_PLANE}.",
    ),
    click.option(
        "--growth", type=click.IntRange(-20, 20), default=0, show_default=True, metavar="N",
        help=f"Move the mask's outline outwards (or inwards), {_PLANE}.",
    ),
    click.option(
        "--sync", type=click.Choice(["exact", "low-latency"]), default="exact", show_default=True,
        help="Each mask belongs to its own frame; or each frame gets the newest mask there is, and waits for none.",
    ),
)  # fmt: skip


def making_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options above; it takes them as one argument, `making`."""

    @functools.wraps(command)
    def with_making(**options: Any) -> Any:  # as click calls it
        making = Making(**{name: options.pop(name) for name in Making.__dataclass_fields__})
        return command(**options, making=making)

    for option in reversed(_OPTIONS):
        with_making = option(with_making)
    return with_making


@contextmanager
def shown_progress(frames: int | None, times: StageTimes) -> Iterator[Callable[[int, int | None], None]]:
    """Yields what `runtime.run` calls after each frame: a bar where the number of frames is known, and how the stages do.

    On a terminal only; click prints the bar's label alone where stderr is none.
    """
    line = _Line(times)
    if frames is None:  # a camera has no end to wait for
        with _erased():
            yield lambda done, _: line.print()
        return
    with click.progressbar(  # type: ignore[var-annotated]
        length=frames, file=sys.stderr, label="blur", show_pos=True, item_show_func=lambda _: line.text, width=12
    ) as bar:
        yield lambda done, _: bar.update(done - bar.pos, line.renewed())


def tell(line: str) -> None:
    """One line of talk on stderr, in place of the live line, which comes again by itself."""
    say(f"\r\x1b[K{line}" if sys.stderr.isatty() else line)


class _Line:
    """The stages' times as text, renewed a few times a second."""

    def __init__(self, times: StageTimes) -> None:
        self._times = times
        self._next_s = 0.0
        self.text = ""

    def renewed(self) -> str:
        now_s = time.monotonic()
        if now_s >= self._next_s and sys.stderr.isatty():
            self.text, self._next_s = self._times.line(), now_s + EVERY_S
        return self.text

    def print(self) -> None:
        before = self.text
        if self.renewed() != before:
            width = shutil.get_terminal_size().columns - 1
            click.echo(f"\r\x1b[K{self.text[:width]}", nl=False, err=True)


@contextmanager
def _erased() -> Iterator[None]:
    """Leaves no half line behind."""
    try:
        yield
    finally:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", nl=False, err=True)
