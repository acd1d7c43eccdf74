"""Which layers to substitute: those that save the most MACs for what they cost in accuracy, first.

Every candidate is tried alone in the trained network. Then they are taken in the order of MACs saved per accuracy lost, each
layer once, until enough is saved; one with which the network would fall below the floor is passed over.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from edgeseg.compress.low_rank import PAYS, pays, rank_for_energy
from edgeseg.compress.moments import Moments, measure
from edgeseg.compress.substitute import dense_weight, fit, layer_macs, weights_of
from edgeseg.errors import UsageError
from edgeseg.models.rewrites import factored, greatest, put, why_not

Score = Callable[[nn.Module], float]  # of a network in evaluation mode; the higher the better, IoU on a few pictures say
MULTIPLIERS = (1, 2)
ENERGIES = (0.95, 0.9, 0.8)  # shares of a pointwise layer's output that its low-rank forms keep
LEAST_LOSS = 1e-6  # what costs nothing, or less, is sorted by what it saves


@dataclass(frozen=True)
class Candidate:
    """A layer in another form. `loss` is what it costs alone: of the score, or where there is none, the squared relative
    error of the layer's outputs.
    """

    layer: str
    rewrite: dict[str, Any]
    macs_saved: int
    loss: float = 0.0

    @property
    def worth(self) -> float:
        """MACs saved per accuracy lost."""
        return self.macs_saved / max(self.loss, LEAST_LOSS)


@dataclass(frozen=True)
class Step:
    """A candidate that was tried on top of those taken before it. MACs and score are of the network with it."""

    candidate: Candidate
    taken: bool
    macs: int
    score: float | None


@dataclass(frozen=True)
class Choice:
    """What to substitute. `met` says whether it saves enough; `macs` are of the whole network with it."""

    rewrites: dict[str, dict[str, Any]]
    steps: tuple[Step, ...]
    macs: int
    score: float | None
    met: bool


def candidates(
    network: nn.Module,
    size: tuple[int, int],
    images: Iterable[Tensor] = (),
    multipliers: Sequence[int] = MULTIPLIERS,
    energies: Sequence[float] = ENERGIES,
) -> list[Candidate]:
    """All forms of layers that save a fifth of their MACs at least, in the order of inference; none loses anything yet.

    Neither the stem nor the layer that gives the logits has any. `images` (n, 3, h, w) say what a pointwise layer's output is
    made of; without them its weights do.
    """
    macs = layer_macs(network, size)
    layers = dict(network.named_modules())
    inner = list(macs)[:-1]
    pointwise = [name for name in inner if why_not(layers[name], "low_rank") is None] if energies else []
    moments = measure(network, pointwise, images)
    found = []
    for name in inner:
        layer = layers[name]
        rows: list[dict[str, Any]] = []
        if why_not(layer, "separable") is None:
            rows = [{"kind": "separable", "multiplier": m} for m in multipliers if m <= greatest(layer, "separable")]
        elif name in moments:
            ranks = {rank_for_energy(layer, energy, moments[name]) for energy in energies}
            rows = [{"kind": "low_rank", "rank": rank} for rank in sorted(ranks, reverse=True) if pays(layer, rank)]
        for row in rows:
            share = weights_of(factored(network, name, row)) / weights_of(layer)
            if share < PAYS:
                found.append(Candidate(name, row, macs[name] - round(macs[name] * share)))
    return found


def choose(
    network: nn.Module,
    found: Sequence[Candidate],
    size: tuple[int, int],
    target_macs: int,
    images: Sequence[Tensor] = (),
    *,
    score: Score | None = None,
    floor: float | None = None,
    on_step: Callable[[Step], object] | None = None,
) -> Choice:
    """Those of `found` that bring `network` to `target_macs`, or as near as the floor allows.

    score  of a network; what a candidate loses of it alone is its price. Without it, its error on `images` is
    floor  the least score of the network with all that is chosen, before `substitute` has fitted them to each other and
           before any training: leave room for what those bring back

    Raises UsageError for a floor without a score, or one that the network does not reach as it is.
    """
    if floor is not None and score is None:
        raise UsageError("a floor needs a score to hold against it; give a score function")
    network = copy.deepcopy(network).eval()
    macs = sum(layer_macs(network, size).values())
    reached = score(network) if score else None
    if floor is not None and reached is not None and reached < floor:
        raise UsageError(f"the network scores {reached:.4f} as it is, below the floor of {floor:.4f}; lower the floor")
    moments = measure(network, sorted({candidate.layer for candidate in found}), images)
    rewrites: dict[str, dict[str, Any]] = {}
    steps = []
    for candidate in sorted(_priced(network, found, moments, score, reached), key=lambda c: c.worth, reverse=True):
        if macs <= target_macs:
            break
        if candidate.layer in rewrites:
            continue
        dense = _put(network, candidate, moments)
        now = score(network) if score else None
        taken = floor is None or now is None or now >= floor
        steps.append(Step(candidate, taken, macs - candidate.macs_saved, now))
        if taken:
            rewrites[candidate.layer], macs, reached = candidate.rewrite, macs - candidate.macs_saved, now
        else:
            put(network, candidate.layer, dense)
        if on_step:
            on_step(steps[-1])
    return Choice(rewrites, tuple(steps), macs, reached, macs <= target_macs)


def _priced(
    network: nn.Module,
    found: Sequence[Candidate],
    moments: dict[str, Moments],
    score: Score | None,
    whole: float | None,
) -> list[Candidate]:
    """`found` with what each costs alone; the network is left as it was."""
    priced = []
    for candidate in found:
        if score is None or whole is None:
            fitted = fit(_dense(network, candidate), candidate.rewrite, moments[candidate.layer])
            loss = moments[candidate.layer].error(dense_weight(fitted)) ** 2
        else:
            dense = _put(network, candidate, moments)
            loss = whole - score(network)
            put(network, candidate.layer, dense)
        priced.append(dataclasses.replace(candidate, loss=loss))
    return priced


def _put(network: nn.Module, candidate: Candidate, moments: dict[str, Moments]) -> nn.Conv2d:
    """Put the candidate into the network; gives the layer that stood there."""
    dense = _dense(network, candidate)
    put(network, candidate.layer, fit(dense, candidate.rewrite, moments[candidate.layer]))
    return dense


def _dense(network: nn.Module, candidate: Candidate) -> nn.Conv2d:
    layer = network.get_submodule(candidate.layer)
    assert isinstance(layer, nn.Conv2d)
    return layer
