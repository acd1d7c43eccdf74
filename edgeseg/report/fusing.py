"""Which calls a runtime does together with the one before: an activation or a normalisation whose input nobody else reads.

`z = relu(conv(x))` is one operator that writes z. In `y = conv(x); z = relu(y); out = z + y` both y and z must be held, and the
activation reads and writes like any other operator. So it is where the network gives y away, and where no operator wrote y
(an activation of the network's input).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Call:
    """One operator as a program runs it; one that works in place reads and writes the same key."""

    module: str
    reads: tuple[Any, ...]  # keys of memory, the first of them what a folding call acts upon
    writes: tuple[Any, ...]
    moved: tuple[int, int, int]  # bytes of weights, read, written
    folds: bool = False  # into what gives its first input, where nothing else reads that


def fuse(
    calls: Sequence[Call], sizes: Mapping[Any, int], outputs: Sequence[Any] = ()
) -> tuple[list[Call], dict[Any, int], list[Any]]:
    """(calls that remain, bytes of what they name, outputs), all by the memory that is left.

    A folding call that has to remain gets memory of its own even where the program works in place: exported graphs do not.
    """
    alone = _alone(calls, outputs)
    lies: dict[Any, Hashable] = {}  # key -> the memory that holds it now
    made: set[Hashable] = set()
    left: list[Call] = []
    bytes_of: dict[Any, int] = dict(sizes)
    for i, call in enumerate(calls):
        reads = tuple(dict.fromkeys(lies.get(key, key) for key in call.reads))
        if call.folds and alone[i] and reads[0] in made:
            lies |= dict.fromkeys(call.writes, reads[0])
            continue
        for key in call.writes:
            if call.folds and key in call.reads:
                lies[key] = (key, i)
                bytes_of[key, i] = sizes[key]
            elif key not in call.reads:
                lies[key] = key
        writes = tuple(lies.get(key, key) for key in call.writes)
        made.update(writes)
        left.append(replace(call, reads=reads, writes=writes))
    return left, bytes_of, [lies.get(key, key) for key in outputs]


def _alone(calls: Sequence[Call], outputs: Sequence[Any]) -> list[bool]:
    """Of each call: whether nobody else reads what its first input holds at that time."""
    version: Counter[Any] = Counter()  # key -> how often it was written
    readers: Counter[Any] = Counter()
    first: list[Any] = []
    for call in calls:
        readers.update((key, version[key]) for key in set(call.reads))
        first.append((call.reads[0], version[call.reads[0]]) if call.reads else None)
        version.update(set(call.writes))
    readers.update((key, version[key]) for key in set(outputs))
    return [readers[value] == 1 for value in first]
