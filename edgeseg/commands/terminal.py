"""What the commands share: how they take a size, print JSON, and show that long work goes on."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import click


class Size(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """HxW, as in 256x256: height first."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        height, x, width = str(value).lower().partition("x")
        if not (x and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
            self.fail(f"{value!r} is not a size; write height x width, as in 256x256", param, ctx)
        return int(height), int(width)


class Counts(click.ParamType):  # type: ignore[type-arg]
    """Numbers from 1, as in 1,2,4."""

    name = "N[,N]..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        one: Any = click.IntRange(1)
        return tuple(dict.fromkeys(int(one.convert(part.strip(), param, ctx)) for part in str(value).split(",")))


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Three numbers, as in 0.485,0.456,0.406."""

    name = "R,G,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != 3 or not all(math.isfinite(n) for n in numbers):
            self.fail(f"{value!r} is not three numbers; write one for red, green and blue, as in 0.5,0.5,0.5", param, ctx)
        return numbers


class Threads(click.ParamType):  # type: ignore[type-arg]
    """A number of threads, or "auto"."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["auto"]:
        if value == "auto":
            return "auto"
        try:
            threads = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a valid integer, nor 'auto'", param, ctx)
        if threads < 1:
            self.fail(f"{threads} is not in the range x>=1", param, ctx)
        return threads


def say(line: str) -> None:
    """One line of talk on stderr."""
    click.echo(f"edgeseg: {line}", err=True)


def emit_json(value: object) -> None:
    """One JSON document on stdout."""
    import json

    click.echo(json.dumps(value, indent=2))


class Bar:
    """A progress bar on stderr that appears when there is something to show, and goes when all is done.

    Where stderr is no terminal click prints its label alone, once.

    eta  show click's estimate of the time left, from the speed so far
    """

    def __init__(self, label: str, *, eta: bool = True) -> None:
        self.label, self.eta = label, eta
        self.stack = ExitStack()
        self.bar: Any = None

    def show(self, what: str, share: float) -> None:
        """`what` is being done, and `share` (0..1) of all."""
        if self.bar is None:
            bar = click.progressbar(
                length=1000, label=self.label, file=sys.stderr, show_eta=self.eta, item_show_func=lambda item: item
            )
            self.bar = self.stack.enter_context(bar)
        self.bar.update(int(1000 * share) - self.bar.pos, what)
        if share >= 1:
            self.close()

    def say(self, line: str) -> None:
        """Print a line above the bar, which comes back when it is shown next."""
        if self.bar is not None:
            click.echo("\r\033[K", err=True, nl=False)  # back to the beginning of the bar, and clear it
        click.echo(line, err=True)

    def close(self) -> None:
        """Leave the terminal as it was, with the cursor shown."""
        self.stack.close()
        self.bar = None


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
share_option = click.option(
    "--share",
    "shares",
    multiple=True,
    metavar="SOURCE=X",
    help="Draw a source's or folder's pictures X times an epoch; repeatable.",
)
auxiliary_classes_option = click.option(
    "--auxiliary-classes/--auxiliary-persons",
    default=True,
    help="Of --auxiliary, learn all classes, or the persons alone.",
    show_default="classes",
)
path_type = click.Path(path_type=Path)
