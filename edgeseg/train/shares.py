"""How often pictures are drawn: a source with few persons in many pictures should not count by its pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from edgeseg.errors import UsageError

Counts = npt.NDArray[np.int64]


def parse_shares(texts: Sequence[str]) -> dict[str, float]:
    """Source -> factor of "SOURCE=X", as in "interviews=0.3". UsageError for what is none."""
    shares = {}
    for text in texts:
        source, _, number = text.rpartition("=")
        try:
            shares[source] = float(number)
        except ValueError:
            shares[source] = -1.0
        if not source or not 0 <= shares[source] < math.inf:
            raise UsageError(f"--share {text} is not SOURCE=X with X of 0 or more, as in interviews=0.3")
    return shares


def factors(origins: Sequence[Sequence[str]], shares: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """(n,) how often each of n pictures is drawn in an epoch, on average. `origins` are the names of each one's sources.

    UsageError for a source that no picture has.
    """
    known = sorted({name for names in origins for name in names})
    for source in shares:
        if source not in known:
            raise UsageError(f"--share {source}: no training picture is from there; sources are {', '.join(known)}")
    return np.array([math.prod(shares.get(name, 1.0) for name in names) for names in origins])


def draws(factor: npt.NDArray[np.float64], epoch: int, seed: int) -> Counts:
    """(n,) how often each of n pictures is drawn in `epoch`.

    A picture with factor f is drawn floor((e + 1) f + u) - floor(e f + u) times in epoch e, with a phase u in 0..1: after any
    number of epochs it is never a whole drawing away from its due. Phases lie evenly, so that of n pictures with one factor
    n f are drawn in every epoch, give or take one.
    """
    phase = np.zeros(len(factor))
    for value in np.unique(factor):
        (of_it,) = np.nonzero(factor == value)
        phase[of_it] = (np.random.default_rng((seed, len(of_it))).permutation(len(of_it)) + 0.5) / len(of_it)
    until, before = np.floor((epoch + 1) * factor + phase), np.floor(epoch * factor + phase)
    return (until - before).astype(np.int64)


def least(factor: npt.NDArray[np.float64]) -> int:
    """Drawings that every epoch has."""
    values, counts = np.unique(factor, return_counts=True)
    return int(np.floor(values * counts + 1e-9).sum())
