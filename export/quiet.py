"""Silence for packages that write to the terminal from C++ or at import: stdout belongs to our results."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send both standard streams, at the level of file descriptors, to nowhere; mute logging and warnings.

    Exceptions pass. Nothing of ours may be printed inside.
    """
    disabled = logging.root.manager.disable
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(tempfile.TemporaryFile())
        for descriptor in (1, 2):
            kept = os.dup(descriptor)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, descriptor)
            os.dup2(sink.fileno(), descriptor)
        for name in ("stdout", "stderr"):  # python's own streams may have been replaced, by pytest for one
            replaced = getattr(sys, name)
            stack.callback(setattr, sys, name, replaced)
            setattr(sys, name, stack.enter_context(open(os.devnull, "w")))
        stack.callback(logging.disable, disabled)
        logging.disable(logging.CRITICAL)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield
