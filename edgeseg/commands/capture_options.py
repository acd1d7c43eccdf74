"""Options of `edgeseg blur` that concern cameras and daily use, and the file that may hold any of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from edgeseg.commands.terminal import Size, path_type
from edgeseg.errors import UsageError


class Given(NamedTuple):
    """The configuration file as it was at the start."""

    path: Path
    known: frozenset[str]  # names that it may hold
    values: dict[str, Any]


def capture_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --size, --fps, --mirror and --config."""
    for option in reversed(
        (
            click.option("--size", type=Size(), help="Of a camera's pictures. [default: 720x1280, or less where that is slow]"),
            click.option("--fps", type=click.FloatRange(1, 240), help="Of a camera. [default: 30]"),
            click.option("--mirror/--no-mirror", help="Left and right of a camera exchanged, as a mirror shows them."),
            click.option(
                "--config",
                type=path_type,
                metavar="FILE",
                is_eager=True,
                expose_value=True,
                callback=_load,
                help="TOML with any of these options, read again while it runs. [default: ~/.config/edgeseg/blur.toml]",
            ),
        )
    ):
        command = option(command)
    return command


def choose_input(webcam: str | None, source: str | None) -> tuple[str | None, str | None]:
    """One of --webcam and --input. Where both are there, the one of the command line wins over the one of the file."""
    if webcam is not None and source is not None:
        ctx = click.get_current_context()
        typed = [ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ("webcam", "source")]
        if typed[0] == typed[1]:
            raise UsageError("--webcam and --input were both given; choose one")
        return (webcam, None) if typed[0] else (None, source)
    return webcam, source


def _load(ctx: click.Context, _: click.Parameter, path: Path | None) -> Given | None:
    """The file's values become the defaults of the other options: what is given on the command line wins."""
    from edgeseg.runtime.control.config import default_path, read_config

    if ctx.resilient_parsing:
        return None
    if path is None:
        path = default_path()
        if not path.is_file():
            return None
    names = {_long(p): p for p in ctx.command.params if isinstance(p, click.Option) and p.name not in ("config", "help")}
    values = read_config(path, names)
    ctx.default_map = {names[key].name or key: _as_given(names[key], value) for key, value in values.items()}
    return Given(path, frozenset(names), values)


def _long(option: click.Option) -> str:
    return max(option.opts, key=len).lstrip("-").replace("-", "_")


def _as_given(option: click.Option, value: Any) -> Any:
    """A value of TOML as the command line would have it."""
    if option.multiple:
        return [str(part) for part in (value if isinstance(value, list) else [value])]
    if value is True and not option.is_flag:
        return option.flag_value
    return value if isinstance(value, bool) else str(value)
