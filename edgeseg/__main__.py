"""`python -m edgeseg` is the `edgeseg` command."""

import sys

if __name__ == "__main__":
    try:
        from edgeseg.cli import main  # here, so that Ctrl-C while it is imported is no traceback either

        main()
    except KeyboardInterrupt:
        print("edgeseg: stopped", file=sys.stderr)
        sys.exit(130)
