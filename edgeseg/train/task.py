"""What a network learns: the classes that it will have, and more classes beside them that only teach it features.

A person network may learn the classes of another data set in channels that are cut off afterwards ("auxiliary" classes):
what tells a chair from a dog is what keeps either from being called a person, and costs the device nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.errors import ModelError
from edgeseg.models import SegmentationNetwork
from edgeseg.models.checkpoint import ModelCard, load_model
from edgeseg.models.imagenet import is_foreign, load_lite0, read_lite0
from edgeseg.models.mobilenet import InvertedResiduals
from edgeseg.train.losses import CLASS_LOSS, PERSON_LOSS, Expression, parse
from edgeseg.train.metrics import IGNORE

AUXILIARY_WEIGHT = 0.4  # of the auxiliary classes' loss beside the person's

State = dict[str, Tensor]


@dataclass(frozen=True)
class Target:
    """Truth of a batch.

    matte  (n, 1, h, w) float, 0 background .. 1 person, negative where it is not known
    ids    (n, h, w) int64 class ids, 255 where not labelled
    """

    matte: Tensor
    ids: Tensor

    def to(self, device: torch.device) -> Target:
        return Target(self.matte.to(device), self.ids.to(device))


@dataclass(frozen=True)
class Task:
    """`classes` are those of the network that ships; two of them are the background and the person.

    loss_text      expression of their loss; "" is the default for their number. Auxiliary classes have the default
    class_weights  one for each of `classes`; none weighs all alike
    """

    classes: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()
    loss_text: str = ""
    class_weights: tuple[float, ...] = ()

    @cached_property
    def expression(self) -> Expression:
        return parse(self.loss_text or (PERSON_LOSS if self.binary else CLASS_LOSS))

    @property
    def binary(self) -> bool:
        return len(self.classes) == 2

    @property
    def channels(self) -> int:
        """Of the logits while training."""
        return (1 if self.binary else len(self.classes)) + len(self.auxiliary)

    def build(self, card: ModelCard) -> SegmentationNetwork:
        """The network of `card`, with fresh weights and the auxiliary channels."""
        return card.build(self.channels)

    def loss(self, logits: Tensor, target: Target) -> Tensor:
        """Scalar. logits (n, channels, h', w') as the network gives them, enlarged here to the truth's (h, w).

        Auxiliary classes need no fine borders: for them the truth is thinned out to (h', w'). Twenty classes at full size
        would cost more than the network.
        """
        size = target.ids.shape[-2:]
        weights = torch.tensor(self.class_weights, device=logits.device) if self.class_weights else None
        if not self.binary:
            return self.expression(enlarge(logits, size), target.ids, weights)
        loss = self.expression(enlarge(logits[:, :1], size), target.matte, weights)
        labelled = (target.ids != IGNORE).flatten(1).any(1)
        if self.auxiliary and labelled.any():
            down, right = (full // small for full, small in zip(size, logits.shape[-2:], strict=True))
            ids = target.ids[labelled, down // 2 :: down, right // 2 :: right]
            loss = loss + AUXILIARY_WEIGHT * parse(CLASS_LOSS)(logits[labelled, 1:], ids)
        return loss


def enlarge(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """(n, c, h', w') -> (n, c, h, w), bilinear."""
    return F.interpolate(logits, size=(size[0], size[1]), mode="bilinear", align_corners=False)


def cut(state: State, network: nn.Module) -> State:
    """`state` of a network with more channels at its end as one of `network`: the first channels stay."""
    return {name: state[name][tuple(slice(n) for n in value.shape)].clone() for name, value in network.state_dict().items()}


def begin(network: nn.Module, initial: str | Path) -> None:
    """Give `network` the weights of `initial`: a trained model or a checkpoint of the same architecture, or ImageNet weights
    (.pth) for its backbone alone. ModelError where they do not fit.
    """
    if not is_foreign(initial):
        paste(load_model(initial).network.state_dict(), network)
    elif isinstance(backbone := getattr(network, "backbone", None), InvertedResiduals):
        load_lite0(backbone, read_lite0(Path(initial)))
    else:
        raise ModelError(f"{initial} is for a backbone, and this architecture has none; begin from a checkpoint")


@torch.no_grad()
def paste(state: State, network: nn.Module) -> None:
    """Load into `network` a `state` with fewer channels at its end; the other channels keep their fresh weights.

    ModelError for a state of another network.
    """
    values = network.state_dict()
    fits = state.keys() == values.keys() and all(
        state[n].ndim == v.ndim and all(a <= b for a, b in zip(state[n].shape, v.shape, strict=True)) for n, v in values.items()
    )
    if not fits:
        raise ModelError("the model to begin from is of another architecture, or has more channels; choose one that fits")
    for name, value in network.state_dict().items():
        value[tuple(slice(n) for n in state[name].shape)] = state[name].to(value.dtype)
