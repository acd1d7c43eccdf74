"""Steps that change the form of a network and train nothing: the same code makes the plan and does the work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from edgeseg.compress.importance import Importance, Loss
from edgeseg.compress.prune import Pruned, Unreachable, prune
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.recipes.budget import Costs, excess
from edgeseg.recipes.steps import Prune

ATTEMPTS = 12  # at a goal in MACs with which all limits are kept
LEAST = 2.0  # MACs; 1 would be a share


@dataclass(frozen=True)
class Aim:
    """What a step without a goal of its own is to come to.

    costs   what a network costs
    limits  by name of a cost, absolute
    left    steps without a goal of their own from this one on
    """

    costs: Callable[[SegmentationNetwork], Costs]
    limits: Mapping[str, float] = field(default_factory=dict)
    left: int = 1


def pruned(
    step: Prune,
    network: SegmentationNetwork,
    size: tuple[int, int],
    aim: Aim,
    *,
    importance: Importance | None = None,
    batches: Iterable[tuple[Tensor, Any]] = (),
    loss: Loss | None = None,
    seed: int = 0,
) -> Pruned:
    """`network` pruned as `step` says. Without a number of MACs: as far as `aim` needs, or its part of the way.

    importance  in place of the step's own, for a plan

    Unreachable where that is more than can go.
    """

    def to(macs: float) -> Pruned:
        return prune(
            network,
            size,
            macs=macs,
            importance=importance or step.importance,
            scope=step.scope,
            per_mac=step.per_mac,
            round_to=step.round_to,
            floor=step.floor,
            protected=step.protected,
            batches=batches,
            loss=loss,
            rounds=step.rounds if importance is None else 1,
            seed=seed,
        )

    if step.macs is not None:
        return to(step.macs)
    now = aim.costs(network)
    ratio = excess(aim.limits, now)
    if ratio <= 1:
        return to(1.0)
    goal = now.macs * ratio ** (-1 / aim.left)
    result = to(goal)
    if aim.left == 1:
        # Parameters and bytes do not go down as MACs do.
        for _ in range(ATTEMPTS):
            ratio = excess(aim.limits, aim.costs(result.network))
            if ratio <= 1:
                break
            goal = min(goal, result.macs) / ratio**1.05
            result = to(goal)
    return result


def smallest(step: Prune, network: SegmentationNetwork, size: tuple[int, int]) -> SegmentationNetwork:
    """`network` with every layer at the least that `step` leaves it."""
    goal = LEAST
    for _ in range(2):
        try:
            free = {"round_to": step.round_to, "floor": step.floor, "protected": step.protected}
            return prune(network, size, macs=goal, importance="l2", scope=step.scope, **free).network  # type: ignore[arg-type]
        except Unreachable as error:
            goal = error.least
    raise AssertionError("what is the least can be reached")
