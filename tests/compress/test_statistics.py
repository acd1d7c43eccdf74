from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeseg.compress.statistics import re_estimate
from edgeseg.errors import UsageError
from tests.compress.shapes import batches, iou, trained


def test_by_hand() -> None:
    """Two batches of the means 1 and 5, with variances (of n - 1) 2 and 8: the mean of each; dropout is left out."""
    network = nn.Sequential(nn.Dropout2d(0.9), nn.BatchNorm2d(1)).eval()
    norm = network[1]
    re_estimate(network, [torch.tensor([0.0, 2.0]).reshape(2, 1, 1, 1), torch.tensor([3.0, 7.0]).reshape(2, 1, 1, 1)])
    assert (norm.running_mean.item(), norm.running_var.item()) == (3, 5)
    assert (norm.momentum, network[0].p, network.training) == (0.1, 0.9, False)
    assert norm.weight.item() == 1


def test_a_network_with_the_statistics_of_another_finds_again_what_it_lost() -> None:
    network = trained()
    before = iou(network)
    for norm in (network.first[1], network.second[1]):
        norm.running_var.mul_(30)
        norm.running_mean.add_(0.5)
    assert iou(network) < 0.5 * before
    re_estimate(network, [image for image, _ in batches(70)])
    assert iou(network) > before - 0.03


def test_without_pictures() -> None:
    with pytest.raises(UsageError, match="without pictures; give some"):
        re_estimate(nn.BatchNorm2d(1), [])
