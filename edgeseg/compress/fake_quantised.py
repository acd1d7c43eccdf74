"""A network under quantisation-aware training: `edgeseg.compress.quantize`'s graph, with fake quantisation for observers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from edgeseg.compress import quantize
from edgeseg.compress.fake_quantise import Activation, Weight
from edgeseg.compress.folding import Folded, Rewrite
from edgeseg.compress.ranges import Fixed, Range, observers, ranges_of, replace, weight_observers
from edgeseg.errors import ModelError
from edgeseg.models.checkpoint import weights_sha256
from edgeseg.models.layers import SegmentationNetwork


@dataclass(frozen=True)
class Place:
    """What calibration found for one range."""

    scale: float
    zero_point: int
    greatest: float  # the scale that covers all values seen


@torch.no_grad()
def calibrate(
    network: nn.Module, rewrite: Rewrite, size: tuple[int, int], observer: Callable[..., Any], images: Iterable[Tensor]
) -> dict[str, Place]:
    """The ranges that post-training quantisation would give `network` on `images` (n, 3, h, w), by name.

    observer  a class of `edgeseg.calib.observers`
    """
    prepared = quantize.prepare(rewrite(network), size, observer, batches=True)
    for image in images:
        prepared(image)
    found = observers(prepared)
    places = {}
    for name, (scale, zero_point) in ranges_of(prepared).items():
        least, most = (getattr(found[name], end, 0.0) for end in ("least", "greatest"))
        below, above = quantize.LOWEST - zero_point, quantize.HIGHEST - zero_point
        covers = max(most / above if above else 0.0, least / below if below else 0.0)
        places[name] = Place(scale, zero_point, max(scale, covers))
    return places


class FakeQuantised:
    """image (n, 3, h, w) RGB in 0..1 -> logits, as the int8 file will give them, with gradients.

    moved       (n,) how far all weights have gone from those that training began with, in steps of their int8 grid
    log_scales  of the ranges that learn
    origin      hash of the weights that training began with
    """

    def __init__(self, network: SegmentationNetwork, rewrite: Rewrite, size: tuple[int, int], places: dict[str, Place]) -> None:
        self.origin, self.places = weights_sha256(network.state_dict()), places
        self._folded = Folded(network, rewrite)
        self._graph = quantize.prepare(self._folded.rewritten, size, Fixed, batches=True)
        found = observers(self._graph)
        if found.keys() != places.keys():
            raise ModelError("the ranges do not belong to this network; leave out --resume to measure them anew")
        self._activations = {name: Activation(place.scale, place.zero_point, place.greatest) for name, place in places.items()}
        replace(self._graph, {found[name]: module for name, module in self._activations.items()})
        replace(self._graph, {observer: Weight(observer.ch_axis) for observer in weight_observers(self._graph)})
        self.moved = nn.Parameter(torch.zeros_like(self._folded.values))
        self(torch.zeros(1, 3, *size))
        # The image and what is computed by comparison (ENet's pooling masks) get no gradient: their grids are exact.
        self.log_scales = [m.log_scale for m in self._activations.values() if m.sees_gradients]
        self.let_scales_learn(True)

    def __call__(self, image: Tensor) -> Tensor:
        weights = self._folded.weights(self._values())
        logits: Tensor = functional_call(self._graph, weights, (image,))
        return logits

    def _values(self) -> Tensor:
        return self._folded.values + self.moved * self._folded.steps

    def let_scales_learn(self, whether: bool) -> None:
        """A scale that does not learn costs no gradient."""
        for scale in self.log_scales:
            scale.requires_grad_(whether)

    def parameters(self) -> list[nn.Parameter]:
        """What is learned."""
        return [self.moved, *self.log_scales]

    def limit(self) -> None:
        """Take back scales that have grown beyond what calibration saw."""
        for module in self._activations.values():
            module.limit()

    def ranges(self) -> dict[str, Range]:
        return {name: module.range() for name, module in self._activations.items()}

    def network(self) -> SegmentationNetwork:
        """The network as it was, with the trained weights and without fake quantisation."""
        return cast(SegmentationNetwork, self._folded.network_with(self._values().detach()))
