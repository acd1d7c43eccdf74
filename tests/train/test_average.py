from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeseg.compress.prune import prune, pruned_card
from edgeseg.models.checkpoint import ModelCard
from edgeseg.train.average import Average, averaged_network
from edgeseg.train.task import Task


def test_average_by_hand() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(0.0)
    average = Average(layer, decay=0.5)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    average.update(layer)  # decay (1 + 1) / (10 + 1): 0 -> 1 - 2/11
    assert average.values["weight"].item() == pytest.approx(9 / 11)


def test_batch_norm_statistics_belong_to_the_averaged_weights() -> None:
    """Of the first convolution's batch norm: mean and variance of what it is given, over the batches, and nothing older."""
    card = ModelCard("enet", {"activation": "relu"}, size=(32, 32))
    network = Task(card.classes, ("sea", "sky")).build(card)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        assert norm.running_mean is not None
        norm.running_mean.fill_(7.0)
    torch.manual_seed(0)
    images = [torch.rand(2, 3, 32, 32) for _ in range(3)]
    averaged = averaged_network(card, network.state_dict(), images, torch.device("cpu"), "float32")
    assert not averaged.training
    assert averaged(images[0]).shape[1] == 1  # the auxiliary channels are gone
    convolution = next(module for module in averaged.modules() if isinstance(module, nn.Conv2d))
    norm = next(module for module in averaged.modules() if isinstance(module, nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        for image in images:
            averaged(image)
    assert isinstance(convolution.weight, torch.Tensor)
    mean = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    variance = torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-5)


def test_a_pruned_network_is_judged_by_its_own_weights_in_bf16() -> None:
    """To rebuild a pruned network is to run it once; autocast must not go on with the weights that it had then."""
    card = ModelCard("enet", {"activation": "relu"}, size=(32, 32))
    network = prune(card.build(), (32, 32), macs=0.7).network
    with torch.no_grad():
        for p in network.parameters():
            p *= 3.0
    torch.manual_seed(0)
    images = [torch.rand(4, 3, 32, 32) for _ in range(2)]
    of_precision = {
        precision: averaged_network(pruned_card(card, network), network.state_dict(), images, torch.device("cpu"), precision)
        for precision in ("float32", "bf16")
    }
    first = [next(m for m in n.modules() if isinstance(m, nn.BatchNorm2d)).running_var for n in of_precision.values()]
    torch.testing.assert_close(first[1], first[0], rtol=0.05, atol=1e-3)
