"""The network that is judged and kept: weights averaged over the steps, batch-norm statistics that belong to them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edgeseg.models.checkpoint import ModelCard
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.train.device import autocast
from edgeseg.train.task import State, cut


class Average:
    """Exponential moving average of a network's parameters. Batch-norm statistics are re-estimated, not averaged."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = {name: p.detach().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))  # a young average follows more closely
        for name, p in network.named_parameters():
            self.values[name].lerp_(p.detach(), 1 - decay)


@torch.no_grad()
def averaged_network(
    card: ModelCard, state: State, images: Iterable[Tensor], device: torch.device, precision: str = "bf16"
) -> SegmentationNetwork:
    """The network of `card` in evaluation mode, without auxiliary classes, with the weights of `state`, and batch-norm
    statistics estimated anew from `images` (batches): those that were gathered while training belong to other weights.
    """
    network: SegmentationNetwork = card.build().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.load_state_dict(cut(state, network))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over the batches
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0  # dropout changes the variance that batch norm sees
    network.train()
    # Not around what is above: autocast keeps its copies of weights that were used once, and loading others changes no copy.
    with autocast(device, precision):
        for image in images:
            network(image)
    return network.eval()
