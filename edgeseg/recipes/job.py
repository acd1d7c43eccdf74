"""What a step works with, and what it leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg.models.checkpoint import Model, ModelCard
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.recipes.shape import Aim
from edgeseg.train.material import Folders, Material

Size = tuple[int, int]


@dataclass(frozen=True)
class Job:
    """What a step works with."""

    model: Model  # as the step before left it, with the size and framings of the result in its card
    checkpoint: Path  # of that
    original: Path
    folder: Path  # for what the step itself has to keep while it runs; an interrupted run left some there, perhaps
    material: Material
    folders: Folders
    shares: Mapping[str, float]  # how often the pictures of a source are drawn, where it is not once
    aim: Aim
    minutes: float | None  # for this step
    seed: int
    note: str  # for the history of the weights
    tell: Callable[[str], None]
    show: Callable[[str, float], None]  # what is being done, share of the step that is done

    @property
    def sizes(self) -> tuple[Size, ...]:
        return (self.model.card.size, *self.model.card.framings)

    def card(self, **changes: Any) -> ModelCard:
        """Of the result: with a line more in its history."""
        card = dataclasses.replace(self.model.card, data=self.material.note, **changes)
        return dataclasses.replace(card, training="\n".join(filter(None, [card.training, self.note])))


@dataclass(frozen=True)
class Made:
    """What a step leaves: a network, its card, and its validation scores."""

    network: SegmentationNetwork
    card: ModelCard
    scores: dict[str, float]
    files: tuple[dict[str, Any], ...] = ()
