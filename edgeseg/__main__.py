"""Where the `edgeseg` command and `python -m edgeseg` begin. Nothing is imported at the top, so that Ctrl-C ends the program in
one line even while its modules are still being loaded, which takes seconds on a board.
"""

import sys


def main() -> None:
    """`edgeseg.cli.main`, and exit status 130 with a line on stderr where it is interrupted."""
    try:
        from edgeseg.cli import main as command

        command()
    except KeyboardInterrupt:
        print("edgeseg: stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
