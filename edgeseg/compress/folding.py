"""Training a network in the form in which it is exported, and getting it back as the network that it was.

What is exported is a rewriting (`edgeseg.export.rewrites`): batch norms are folded into convolutions, a transposed
convolution has become an ordinary one. Every weight of it is either a weight of the network whose batch norms have been
absorbed, or 1 minus one, or a zero of the structure. Which, is found by rewriting a network whose weights are their own
numbers. So the weights of the network can be trained through its rewriting, and saved as the network's own.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from edgeseg.errors import ModelError
from edgeseg.models.enet import Initial
from edgeseg.models.rewrites import Factored

Rewrite = Callable[[nn.Module], nn.Module]
Network = TypeVar("Network", bound=nn.Module)
GRID = 127  # the greatest int8 weight
FIRST = 2  # the number of the first weight: 0 and 1 stand for themselves


def absorb_norms(network: Network) -> tuple[Network, dict[str, int]]:
    """A copy of `network` that gives the same logits with batch norms that only add: their scale is in the convolution.

    Also, by name, how many entries at the beginning of a batch norm's weight are 1 now and have nothing to learn. A batch
    norm that no convolution in the same `Sequential` precedes keeps its scale.
    """
    absorbed = copy.deepcopy(network).eval()
    idle: dict[str, int] = {}
    pairs: list[tuple[str, nn.Conv2d | nn.ConvTranspose2d, nn.BatchNorm2d]] = []
    for path, module in absorbed.named_modules():
        if isinstance(module, nn.Sequential):
            layers = list(module.named_children())
            for (_, layer), (name, norm) in itertools.pairwise(layers):
                conv = layer.last if isinstance(layer, Factored) else layer
                if isinstance(norm, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d | nn.ConvTranspose2d):
                    pairs.append((f"{path}.{name}.weight".lstrip("."), conv, norm))
        elif isinstance(module, Initial):  # its batch norm spans the convolution and, behind it, the pooled image
            pairs.append((f"{path}.bn.weight".lstrip("."), module.conv, module.bn))
    for name, conv, norm in pairs:
        idle[name] = conv.out_channels
        _settle(norm, conv)
    for module in absorbed.modules():
        if isinstance(module, nn.BatchNorm2d):
            _settle(module)
    return absorbed, idle


@torch.no_grad()
def _settle(norm: nn.BatchNorm2d, conv: nn.Conv2d | nn.ConvTranspose2d | None = None) -> None:
    """Take the statistics of `norm` into its weight and bias, and the weight of the channels of `conv` into that."""
    mean, variance, weight, bias = norm.running_mean, norm.running_var, norm.weight, norm.bias
    if mean is None or variance is None or weight is None or bias is None:
        raise ModelError("a batch norm without weights or running statistics cannot be folded; train with both")
    scale = torch.rsqrt(variance + norm.eps) * weight
    shift = bias - mean * scale
    if conv is not None:
        n = conv.out_channels
        axis = _channel_axis(conv)
        conv.weight.mul_(scale[:n].reshape([-1 if d == axis else 1 for d in range(4)]))
        if conv.bias is not None:
            shift[:n] += conv.bias * scale[:n]
            conv.bias.zero_()
        scale[:n] = 1
    weight.copy_(scale)
    bias.copy_(shift)
    mean.zero_()
    variance.fill_(1 - norm.eps)  # 1 / sqrt(variance + eps) is exactly 1


class Folded:
    """The weights of a network as one vector, and the weights of its rewriting as a function of that.

    network    the network with its batch norms absorbed
    rewritten  its rewriting, whose weights `weights` computes
    values     (n,) float32: all weights of `network`
    steps      (n,) how far each of them goes in a step of training at a learning rate of 1: one step of the int8 grid of its
               channel; for what has no grid (biases), a 127th of the root mean square of its tensor
    """

    def __init__(self, network: nn.Module, rewrite: Rewrite) -> None:
        self.network, idle = absorb_norms(network)
        self.rewritten = rewrite(self.network)
        self.values = torch.cat([p.detach().flatten() for p in self.network.parameters()])
        self.steps = _steps(self.network)
        self._find(rewrite, idle)

    def _find(self, rewrite: Rewrite, idle: dict[str, int]) -> None:
        """Where each weight of the rewriting comes from: constant + sign * values[index]."""
        numbered = copy.deepcopy(self.network).double()
        number = FIRST
        for name, p in numbered.named_parameters():
            p.data = torch.arange(number, number + p.numel(), dtype=p.dtype).reshape(p.shape)
            p.data[: idle.get(name, 0)] = 1
            number += p.numel()
        for module in numbered.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
                module.running_var.fill_(1 - module.eps)
        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # what a rewriting creates is to hold large numbers too
        try:
            found = dict(rewrite(numbered).named_parameters())
        finally:
            torch.set_default_dtype(usual)
        number_of = torch.cat([p.detach().double().flatten() for p in found.values()])
        nearest = number_of.round().long()
        self.shapes = {name: p.shape for name, p in found.items()}
        negated = nearest < 0  # 1 minus a weight
        taken = negated | (nearest >= FIRST)
        self.index = torch.where(negated, 1 - nearest, nearest).sub(FIRST).where(taken, 0)
        self.sign = torch.where(negated, -1.0, 1.0).where(taken, 0.0)
        self.constant = (negated | (nearest == 1)).float()
        expected = dict(self.rewritten.named_parameters())
        got = self.weights(self.values) if int(self.index.max()) < len(self.values) else {}
        if got.keys() != expected.keys() or not all(torch.allclose(got[name], p) for name, p in expected.items()):
            raise ModelError("the rewriting of this network mixes its weights: it cannot be trained quantisation-aware")

    def weights(self, values: Tensor) -> dict[str, Tensor]:
        """Name -> weight of the rewriting, for `values` (n,) of the network; differentiable."""
        flat = self.constant + self.sign * values[self.index]
        parts = torch.split(flat, [shape.numel() for shape in self.shapes.values()])
        return {name: part.reshape(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    @torch.no_grad()
    def network_with(self, values: Tensor) -> nn.Module:
        """A copy of the network with other `values` (n,)."""
        network = copy.deepcopy(self.network)
        start = 0
        for p in network.parameters():
            p.copy_(values[start : start + p.numel()].reshape(p.shape))
            start += p.numel()
        return network


def _channel_axis(module: nn.Module) -> int:
    return 1 if isinstance(module, nn.ConvTranspose2d) else 0


def _steps(network: nn.Module) -> Tensor:
    axes = {id(p): _channel_axis(module) for module in network.modules() for p in module.parameters(recurse=False)}
    steps = []
    for p in network.parameters():
        value, axis = p.detach().abs(), axes[id(p)]
        if p.ndim > 1:
            of_channel = value.amax([d for d in range(p.ndim) if d != axis], keepdim=True)
            step = torch.maximum(of_channel, 0.01 * value.amax())  # a channel of zeros may come back to life
        else:
            step = value.square().mean().sqrt()
        steps.append((step / GRID).expand(p.shape).flatten())
    return torch.cat(steps)
