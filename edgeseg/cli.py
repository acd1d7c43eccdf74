"""The `edgeseg` command. Each body imports what it needs, so that `--help` is instant and devices need no torch.

Results go to stdout, talk and progress to stderr. Exit status: 0 done, 1 a clear one-line error, 2 usage.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from edgeseg import __version__
from edgeseg.errors import EdgesegError


class Program(click.Group):
    """Turns the error tree into one line on stderr and exit status 1, here and nowhere else."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgesegError as error:
            click.echo(f"edgeseg: {error}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("edgeseg: stopped", err=True)
            ctx.exit(130)
        except BrokenPipeError:  # the reader of our output has left (`edgeseg models | head -1`)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(1)


class Size(click.ParamType):
    """HxW, as in 256x256: height first."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        height, x, width = str(value).lower().partition("x")
        if not (x and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
            self.fail(f"{value!r} is not a size; write height x width, as in 256x256", param, ctx)
        return int(height), int(width)


def emit_json(value: object) -> None:
    """One JSON document on stdout."""
    import json

    click.echo(json.dumps(value, indent=2))


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
path_type = click.Path(path_type=Path)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="edgeseg")
def main() -> None:
    """Image segmentation on small devices: train, compress to int8, prove it, and blur backgrounds with it."""
