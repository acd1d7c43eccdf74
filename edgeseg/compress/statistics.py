"""Batch norm after surgery: the statistics of a network that has lost channels are those of the network that it was."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edgeseg.errors import UsageError


@torch.no_grad()
def re_estimate(network: nn.Module, images: Iterable[Tensor]) -> None:
    """Batch norms of `network`, in place, take the plain mean of their statistics over `images`, batches (n, 3, h, w).

    A dozen batches of 16 do, of pictures as in training. No weight changes. A pruned network that finds nothing may find
    most again by this alone; what is left to mend takes training. UsageError where there are no images.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    dropouts = [module for module in network.modules() if isinstance(module, nn.Dropout2d)]
    momenta, shares, training = [norm.momentum for norm in norms], [each.p for each in dropouts], network.training
    network.train()
    for each in dropouts:
        each.p = 0.0  # dropout changes the variance that batch norm sees
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    count = 0
    for image in images:
        network(image)
        count += 1
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for each, share in zip(dropouts, shares, strict=True):
        each.p = share
    network.train(training)
    if not count:
        raise UsageError("batch norms cannot be estimated without pictures; give some")
