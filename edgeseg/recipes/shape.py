"""Steps that change the form of a network and train nothing: the same code makes the plan and does the work."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from edgeseg.compress.choose import candidates, choose
from edgeseg.compress.decoder import with_steps
from edgeseg.compress.importance import Importance, Loss
from edgeseg.compress.prune import Pruned, Unreachable, prune, pruned_card
from edgeseg.compress.substitute import layer_macs, substitute
from edgeseg.errors import UsageError
from edgeseg.models.checkpoint import ModelCard
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.models.rewrites import why_not
from edgeseg.models.shapes import table
from edgeseg.recipes.budget import Costs, excess
from edgeseg.recipes.steps import Decoder, LowRank, Prune, Separable, Step, Substitute

ATTEMPTS = 12  # at a goal in MACs with which all limits are kept
LEAST = 2.0  # MACs; 1 would be a share
QUICK: Importance = "l2"  # importance that needs no pictures


@dataclass(frozen=True)
class Aim:
    """What a step without a goal of its own is to come to.

    costs   what a network costs
    limits  by name of a cost, absolute
    left    steps without a goal of their own from this one on
    """

    costs: Callable[[nn.Module], Costs]
    limits: Mapping[str, float] = field(default_factory=dict)
    left: int = 1

    def macs(self, network: nn.Module) -> float:
        """That `network` is to have after this step."""
        now = self.costs(network)
        needed = max(1.0, excess(self.limits, now)) ** (1 / max(1, self.left))
        return float(now.macs / needed)


@dataclass(frozen=True)
class Seen:
    """What pictures say; a plan has none of it.

    batches  (image, truth) for the importance "taylor", and loss of (logits, truth)
    images   (n, 3, h, w) each, as the network will see them
    score    of a network on these
    """

    batches: Iterable[tuple[Tensor, Any]] = ()
    loss: Loss | None = None
    images: Sequence[Tensor] = ()
    score: Callable[[nn.Module], float] | None = None


@dataclass(frozen=True)
class Formed:
    """A network in its new form. The card rebuilds it."""

    network: SegmentationNetwork
    card: ModelCard
    details: tuple[str, ...]  # a line for every layer that changed
    kept: tuple[str, ...] = ()  # lines of layers that cannot change


def form(
    step: Step, network: SegmentationNetwork, card: ModelCard, aim: Aim, seen: Seen | None = None, seed: int = 0
) -> Formed:
    """`network` after `step`; as good as can be said without pictures where nothing was `seen`.

    Unreachable where the step is to go further than it can, UsageError for layers that it cannot change.
    """
    return FORMS[type(step)](step, network, card, aim, seen, seed)


def smallest(step: Step, network: SegmentationNetwork, card: ModelCard) -> Formed:
    """The least that `step` can leave of `network`."""
    nowhere = Aim(lambda network: Costs(0, 0, 0))
    if step.saves:
        step = dataclasses.replace(step, macs=LEAST)  # type: ignore[call-arg]
    if isinstance(step, Prune):
        step = dataclasses.replace(step, importance=QUICK, rounds=1)
    try:
        return form(step, network, card, nowhere)
    except Unreachable as error:
        return form(dataclasses.replace(step, macs=float(error.least)), network, card, nowhere)  # type: ignore[call-arg]


def _prune(step: Prune, network: SegmentationNetwork, card: ModelCard, aim: Aim, seen: Seen | None, seed: int) -> Formed:
    """Without a number of MACs: as far as the limits need, where other steps follow its part of the way."""
    blind = seen is None and step.importance == "taylor"
    untouched = dataclasses.replace(card, shapes={}).build()

    def to(macs: float) -> Pruned:
        return prune(
            network,
            card.size,
            macs=macs,
            importance=QUICK if blind else step.importance,
            scope=step.scope,
            per_mac=step.per_mac,
            round_to=step.round_to,
            floor=step.floor,
            original=untouched,
            protected=step.protected,
            batches=seen.batches if seen else (),
            loss=seen.loss if seen else None,
            rounds=1 if blind else step.rounds,
            seed=seed,
        )

    if step.macs is not None:
        result = to(step.macs)
    else:
        goal = aim.macs(network)
        result = to(goal)
        for _ in range(ATTEMPTS if aim.left == 1 else 0):  # parameters and bytes do not go down as MACs do
            ratio = excess(aim.limits, aim.costs(result.network))
            if ratio <= 1:
                break
            goal = min(goal, result.macs) / ratio**1.05
            result = to(goal)
    changed = [layer for layer in result.layers if layer.channels != layer.channels_before]
    lines = [
        f"{layer.name}: {layer.channels_before} -> {layer.channels} channels{_gone(result, layer.name)}" for layer in changed
    ]
    kept = tuple(f"{name} keeps its channels: {reason}" for name, reason in result.kept.items())
    return Formed(result.network, pruned_card(card, result.network), tuple(lines), kept)


def _gone(result: Pruned, layer: str) -> str:
    return f", without {' '.join(map(str, result.gone[layer]))}" if layer in result.gone else ""


def _substitute(
    step: Substitute, network: SegmentationNetwork, card: ModelCard, aim: Aim, seen: Seen | None, seed: int
) -> Formed:
    """Without a number of MACs: as far as the limits need; where layers are named, all of them."""
    images = seen.images if seen else ()
    now = sum(layer_macs(network, card.size).values())
    found = candidates(
        network,
        card.size,
        images,
        multipliers=step.multipliers if isinstance(step, Separable) else (),
        energies=step.energies if isinstance(step, LowRank) else (),
    )
    if step.layers:
        _check_layers(step, network, {candidate.layer for candidate in found})
        found = [candidate for candidate in found if any(fnmatch.fnmatchcase(candidate.layer, p) for p in step.layers)]
    if step.macs is not None:
        target = step.macs * now if step.macs <= 1 else step.macs
    else:
        target = LEAST if step.layers else aim.macs(network)
    score = seen.score if seen and step.judged_by == "accuracy" else None
    choice = choose(network, found, card.size, int(target), images, score=score)
    new, rows = substitute(network, choice.rewrites, card.size, images)
    card = dataclasses.replace(card, rewrites={**card.rewrites, **choice.rewrites}, shapes={}, accuracy={}, ranges={})
    card = dataclasses.replace(card, shapes=table(new, card.build()))
    lines = [
        f"{row.name}: {' '.join(map(str, row.rewrite.values()))}, its outputs change by {row.error:.1%}, "
        f"{row.macs_before / 1e6:.2f} -> {row.macs_after / 1e6:.2f} MMAC"
        for row in rows
    ]
    return Formed(new, card, tuple(lines))


def _decoder(step: Decoder, network: SegmentationNetwork, card: ModelCard, aim: Aim, seen: Seen | None, seed: int) -> Formed:
    before = aim.costs(network).macs / 1e6
    new, card = with_steps(network, card, step.channels, seed, context=step.context)
    return Formed(new, card, (f"decoder: {before:.1f} -> {aim.costs(new).macs / 1e6:.1f} MMAC of the network",))


def _check_layers(step: Substitute, network: nn.Module, there: set[str]) -> None:
    """UsageError for a pattern of `step.layers` that names no layer with such a form, with the reason."""
    layers = dict(network.named_modules())
    for pattern in step.layers:
        if any(fnmatch.fnmatchcase(name, pattern) for name in there):
            continue
        named = [name for name in layers if name and fnmatch.fnmatchcase(name, pattern)]
        if not named:
            some = f"some are: {', '.join(sorted(there)[:4])}" if there else "this network has none; leave the step out"
            raise UsageError(f"there is no layer {pattern!r} for {step.kind}; {some}")
        first = next((name for name in named if isinstance(layers[name], nn.Conv2d)), named[0])
        reason = why_not(layers[first], step.kind) or "it gives the logits, or nothing would be saved"
        raise UsageError(f"layer {first} has no form as {step.kind}: {reason}")


FORMS: dict[type[Step], Callable[..., Formed]] = {
    Prune: _prune,
    Separable: _substitute,
    LowRank: _substitute,
    Decoder: _decoder,
}
