"""Silence for C libraries that print to stderr what they also return."""

from __future__ import annotations

import os


class quiet_stderr:
    """`with quiet_stderr():` nothing that OpenCV, FFmpeg or LiteRT prints reaches the terminal; our error says it once.

    The file descriptor itself is redirected, since their text does not pass through Python. Keep the body short: what other
    threads print meanwhile is lost as well.
    """

    def __enter__(self) -> None:
        self._saved: int | None = None
        try:
            saved = os.dup(2)
        except OSError:  # no stderr at all (a daemon)
            return
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 2)
        os.close(sink)
        self._saved = saved

    def __exit__(self, *_: object) -> None:
        if self._saved is not None:
            os.dup2(self._saved, 2)
            os.close(self._saved)
