"""Which channels go: what every choice leaves of the multiply-adds, and a greedy choice that ends at a given number of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from edgeseg.compress.channels import CONVOLUTIONS, ChannelSet, depthwise

Counts = npt.NDArray[np.float64]


def pixels_of(network: nn.Module, size: tuple[int, int]) -> dict[str, int]:
    """How often every convolution and linear layer uses each of its weights on an image of `size` (height, width)."""
    pixels: dict[str, int] = {}

    def note(path: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            at = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
            each = at.numel() // (at.shape[-1] if isinstance(layer, nn.Linear) else at.shape[1])
            pixels[path] = pixels.get(path, 0) + each

        return hook

    layers = [(path, layer) for path, layer in network.named_modules() if isinstance(layer, CONVOLUTIONS)]
    hooks = [layer.register_forward_hook(note(path)) for path, layer in layers]
    training = network.training
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, *size))
    network.train(training)
    for hook in hooks:
        hook.remove()
    return pixels


def channels_and_macs(network: nn.Module, pixels: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Layer -> (channels that it writes, MACs)."""
    layers = dict(network.named_modules())
    return {path: (_widths(layers[path])[0], each * _weights(layers[path])) for path, each in pixels.items()}


class Plan:
    """MACs of `network` with any number of channels removed from each of `sets`.

    Of s sets and l layers, a layer keeps own - matrix @ removed channels; its MACs are a factor times outputs times inputs.
    """

    def __init__(self, network: nn.Module, sets: Sequence[ChannelSet], pixels: dict[str, int]) -> None:
        self.count = np.array([channels.count for channels in sets])
        layers = {path: layer for path, layer in network.named_modules() if path in pixels}
        rows = {path: row for row, path in enumerate(layers)}
        self.outputs, self.inputs = np.zeros((2, len(layers), len(sets)))
        for column, channels in enumerate(sets):
            for (path, side), indices in channels.places.items():
                if path in rows:
                    (self.outputs if side == "out" else self.inputs)[rows[path], column] = indices.shape[1]
        widths = np.array([_widths(layer) for layer in layers.values()], float)
        self.own_outputs, self.own_inputs = widths.T
        weights = np.array([_weights(layer) for layer in layers.values()])
        self.factor = np.array([pixels[path] for path in layers]) * weights / widths.prod(1)

    def macs(self, removed: Counts) -> Counts:
        """removed (..., s) channels of every set -> (...,)"""
        outputs = self.own_outputs - removed @ self.outputs.T
        inputs = self.own_inputs - removed @ self.inputs.T
        return np.asarray((outputs * inputs) @ self.factor)

    def freed(self, removed: Counts, more: Counts) -> Counts:
        """(s,) MACs that go when, beyond `removed` (s,), `more` (s,) of one set go and none of the others."""
        return np.asarray(self.macs(removed) - self.macs(removed + np.diag(more)))

    def choose(
        self, goal: float, scores: Sequence[npt.NDArray[np.float64]] | None, most: Counts, round_to: int, per_mac: bool
    ) -> Counts:
        """(s,) how many channels of every set go, the least important of each, until there are `goal` MACs or none can go.

        In turn goes the block whose removal leaves a multiple of `round_to` and that is missed least; in the end those come
        back for which there is room.

        scores    importance of every channel of each set; None takes from all in equal shares
        most      (s,) that may go
        per_mac   what is missed is divided by what it frees
        """
        removed = np.zeros(len(self.count))
        lost = None if scores is None else [np.concatenate([[0.0], np.cumsum(np.sort(score))]) for score in scores]
        order: list[int] = []
        while self.macs(removed) > goal:
            left = (self.count - removed) % round_to
            more = np.where(left, left, round_to)
            possible = np.flatnonzero(removed + more <= most)
            if not len(possible):
                return removed
            if lost is None:
                rank = ((removed + more) / self.count)[possible]
            else:
                rank = np.array([lost[s][int(removed[s] + more[s])] - lost[s][int(removed[s])] for s in possible])
                if per_mac:
                    rank = rank / np.maximum(self.freed(removed, more)[possible], 1)
            chosen = int(possible[int(np.argmin(rank))])
            removed[chosen] += more[chosen]
            order.append(chosen)
        for s in reversed(order):
            back = removed.copy()
            back[s] = max(0, removed[s] - round_to)
            if self.macs(back) <= goal:
                removed = back
        return removed


def _widths(layer: nn.Module) -> tuple[int, int]:
    """(outputs, inputs); 1 input for what is depthwise, where no weight reads a second."""
    if isinstance(layer, nn.Linear):
        return layer.out_features, layer.in_features
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    return layer.out_channels, 1 if depthwise(layer) else layer.in_channels


def _weights(layer: nn.Module) -> int:
    assert isinstance(layer, CONVOLUTIONS)
    return layer.weight.numel()
