"""Writes docs/commands.md: the `--help` of every command, word for word. `tests/test_docs.py` compares.

python scripts/make_docs.py
"""

from pathlib import Path

import click

from edgeseg.cli import main

TARGET = Path(__file__).parent.parent / "docs" / "commands.md"
WIDTH = 110  # as cli.py sets it: the text must not depend on the terminal

INTRODUCTION = """\
# Commands

What `edgeseg COMMAND --help` prints. This file is written by `scripts/make_docs.py`; edit the help texts in
`edgeseg/cli.py` and `edgeseg/commands/` instead.
"""


def render() -> str:
    """The whole file."""
    root = _context("edgeseg", main)
    parts = [INTRODUCTION, _block(root)]
    for name in sorted(main.commands):
        command = main.commands[name]
        context = _context(name, command, root)
        parts += [f"## {name}\n", _block(context)]
        if isinstance(command, click.Group):
            for below in sorted(command.commands):
                parts += [f"## {name} {below}\n", _block(_context(below, command.commands[below], context))]
    return "\n".join(parts)


def _context(name: str, command: click.Command, parent: click.Context | None = None) -> click.Context:
    return command.make_context(name, [], parent=parent, resilient_parsing=True, terminal_width=WIDTH)


def _block(context: click.Context) -> str:
    return f"```text\n{context.get_help()}\n```\n"


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(render(), encoding="utf-8")
    print(TARGET)
