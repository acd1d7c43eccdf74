"""Who agrees with whom: the network in float, the same with its rounding simulated, the TFLite file, the ONNX file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgeseg.calib.frames import Picture
from edgeseg.calib.scores import Tally, class_ids, truth_at
from edgeseg.runtime.session import Session

Logits = npt.NDArray[np.float32]  # (h', w', c)
FLOAT, SIMULATED = "float", "fake-quantised"
CLOSE = 0.995  # share of pixels on which a file and its simulation agree, where the file rounds as it was told


@dataclass(frozen=True)
class Pair:
    """Two subjects on the same pictures; `b` measured against `a`."""

    a: str
    b: str
    agreement: float  # share of the input's pixels that get the same class
    miou_delta: float  # mIoU against the truth, b minus a; without truth: of b against a, minus 1
    sqnr_db: float  # of the logits, a the signal
    max_abs_error: float  # of the logits


def compare_all(
    subjects: Mapping[str, Callable[[Picture], Logits]], pictures: Iterable[Picture], size: tuple[int, int], classes: int
) -> list[Pair]:
    """Every pair of `subjects`, in their order.

    subjects  name -> logits of a picture
    size      (height, width) at which classes are compared: the input's
    """
    pairs = list(itertools.combinations(subjects, 2))
    tallies = {pair: Tally(classes) for pair in pairs}
    worst = dict.fromkeys(pairs, 0.0)
    for picture in pictures:
        truth = None if picture.truth is None else truth_at(picture.truth, size)
        logits = {name: run(picture) for name, run in subjects.items()}
        ids = {name: class_ids(values, size) for name, values in logits.items()}
        for a, b in pairs:
            error = logits[b].astype(np.float64) - logits[a]
            tally = tallies[a, b]
            tally.signal += float((logits[a].astype(np.float64) ** 2).sum())
            tally.noise += float((error**2).sum())
            worst[a, b] = max(worst[a, b], float(np.abs(error).max()))
            tally.add(ids[a], ids[b], truth)
    return [_pair(a, b, tallies[a, b], worst[a, b]) for a, b in pairs]


def strayed(pairs: Iterable[Pair]) -> list[str]:
    """Warnings of files that round otherwise than their simulation: what a layer costs, or saves, is not to be believed there.

    LiteRT rounds some of ENet's first layers although they were left in float.
    """
    return [
        f"{pair.b} gives the class of its simulation on {pair.agreement:.2%} of the pixels only: its converter rounds "
        "otherwise than it was told (layers in float, perhaps); judge it by its own line"
        for pair in pairs
        if pair.a == SIMULATED and not pair.agreement >= CLOSE
    ]


def by_session(session: Session) -> Callable[[Picture], Logits]:
    """A file, run as its users run it."""
    return lambda picture: session.decode(session.run(session.prepare(picture.frame)))


def by_network(network: nn.Module, image_of: Callable[[Picture], torch.Tensor]) -> Callable[[Picture], Logits]:
    """A network or a graph of it on (1, 3, h, w), which `image_of` gives."""

    @torch.no_grad()
    def run(picture: Picture) -> Logits:
        out = network(image_of(picture))
        logits: Logits = (out[0] if isinstance(out, tuple | list) else out)[0].permute(1, 2, 0).numpy()
        return logits

    return run


def _pair(a: str, b: str, tally: Tally, worst: float) -> Pair:
    score = tally.score()
    return Pair(a, b, score.agreement, score.miou_delta, score.sqnr_db, worst)
