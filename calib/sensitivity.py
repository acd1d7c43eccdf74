"""Which layers int8 hurts: every layer of a quantised graph measured against the network in float, on pictures.

    own          noise of a layer's result where it alone rounds (its weights and its result), as SQNR
    accumulated  noise of the same result in the graph as it is, all layers before it rounding too
    lost         pixels, and points of mIoU, that change where it alone rounds

A layer with much noise of its own may do no harm (what follows averages it out), and one with little may: what it
loses is the measure, the noise says why. What only moves values (pooling, padding, a concatenation of tensors that share a
range) rounds nothing that was not rounded before it, and is not listed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx

from edgeseg.calib.scores import Ids, Score, Tally, class_ids, decibels
from edgeseg.calib.switches import Layer, Switched
from edgeseg.models.layer_names import operator

BATCH = 4
AVERAGING = {
    "upsample_bilinear2d",
    "upsample_bicubic2d",
    "avg_pool2d",
    "adaptive_avg_pool2d",
}  # they round though they keep ranges


@dataclass(frozen=True)
class LayerSensitivity:
    """What rounding does to, and by, one layer."""

    layer: str
    operator: str  # conv2d, add, ...
    own_db: float  # SQNR of its result where it alone rounds
    accumulated_db: float  # SQNR of its result where all layers round
    logits_db: float  # SQNR of the logits where it alone rounds
    agreement: float  # share of pixels that keep their class where it alone rounds
    miou_lost: float  # points of mIoU (0..100) lost where it alone rounds: against the truth, or the network without truth


@dataclass
class Images:
    """Pictures as a network takes them. image (n, 3, h, w) in 0..1; truth (h, w) class ids for each, or None"""

    images: Tensor
    truths: Sequence[Ids | None]
    classes: int

    @property
    def size(self) -> tuple[int, int]:
        return int(self.images.shape[2]), int(self.images.shape[3])

    def batches(self, batch: int) -> list[slice]:
        return [slice(i, i + batch) for i in range(0, len(self.images), batch)]


@dataclass
class _Noise:
    signal: float = 0.0
    noise: float = 0.0

    def add(self, expected: Tensor, got: Tensor) -> None:
        self.signal += float(expected.double().square().sum())
        self.noise += float((got.double() - expected.double()).square().sum())

    @property
    def db(self) -> float:
        return decibels(self.signal, self.noise)


@dataclass
class _Sums:
    tally: Tally
    own: _Noise = field(default_factory=_Noise)
    accumulated: _Noise = field(default_factory=_Noise)
    logits: _Noise = field(default_factory=_Noise)


def measure(
    graph: fx.GraphModule, pictures: Images, on_layer: Callable[[float], None] = lambda share: None
) -> list[LayerSensitivity]:
    """Every layer of a converted graph that rounds, in the network's order.

    graph     what `convert_pt2e(fold_quantize=False)` gives, for images (1, 3, h, w)
    on_layer  told the share that is done, from 0 to 1

    Costs a run of the float network from each layer to the end, on all pictures.
    """
    switched = Switched(graph)
    listed = [layer for layer in switched.layers.values() if rounds(layer)]
    sums = {layer.name: _Sums(Tally(pictures.classes)) for layer in listed}
    batches = pictures.batches(batch_of(graph, pictures))
    for number, batch in enumerate(batches):
        images = pictures.images[batch].contiguous(memory_format=torch.channels_last)  # twice as fast on a processor
        exact, values = switched.logits(images, ())
        expected = ids_of(exact, pictures.size)
        _, rounded = switched.logits(images, switched.all_places)
        for layer in listed:
            sums[layer.name].accumulated.add(values[_seen(layer)], rounded[_seen(layer)])
        del rounded
        for i, layer in enumerate(listed):
            into = sums[layer.name]
            if switched.rounds_nothing(layer, values):
                continue
            logits, changed = switched.change(values, layer.places, layer.places)
            into.own.add(values[_seen(layer)], changed[_seen(layer)])
            into.logits.add(exact, logits)
            for want, have, truth in zip(expected, ids_of(logits, pictures.size), pictures.truths[batch], strict=True):
                into.tally.add(want, have, truth)
            on_layer((number + (i + 1) / len(listed)) / len(batches))
    return [_result(layer, sums[layer.name]) for layer in listed if sums[layer.name].own.noise]


def worst_first(layers: Sequence[LayerSensitivity]) -> list[LayerSensitivity]:
    """By the pixels that change, then by the noise of the logits."""
    return sorted(layers, key=lambda layer: (round(layer.agreement, 4), layer.logits_db))


class Simulation:
    """What a quantised graph gives with some layers left in float, without making it anew."""

    def __init__(self, graph: fx.GraphModule, pictures: Images) -> None:
        self.switched = Switched(graph)
        self.pictures = pictures
        self._batches = pictures.batches(batch_of(graph, pictures))
        self._expected = [self.switched.logits(pictures.images[batch], ())[0] for batch in self._batches]

    def score(self, in_float: Collection[str] = ()) -> Score:
        """Against the network in float, with the results of the layers `in_float` not rounded."""
        on = self.switched.all_places - self.switched.places_in_float(in_float)
        tally, noise = Tally(self.pictures.classes), _Noise()
        for batch, exact in zip(self._batches, self._expected, strict=True):
            logits, _ = self.switched.logits(self.pictures.images[batch], on)
            noise.add(exact, logits)
            answers = ids_of(exact, self.pictures.size), ids_of(logits, self.pictures.size)
            for want, have, truth in zip(*answers, self.pictures.truths[batch], strict=True):
                tally.add(want, have, truth)
        tally.signal, tally.noise = noise.signal, noise.noise
        return tally.score()


def rounds(layer: Layer) -> bool:
    """Whether a layer rounds anything that is not rounded before it."""
    if not layer.places or layer.result is None:
        return False
    return not layer.moves or bool(layer.inputs) or operator(layer.result) in AVERAGING


def batch_of(graph: fx.GraphModule, pictures: Images) -> int:
    """BATCH, or 1 where the graph holds its batch size in a change of shape."""
    if len(pictures.images) < 2:
        return 1
    try:
        logits, _ = Switched(graph).logits(pictures.images[:2], ())
    except RuntimeError:
        return 1
    return BATCH if len(logits) == 2 else 1


def ids_of(logits: Tensor, size: tuple[int, int]) -> list[Ids]:
    """(n, c, h', w') -> n times (h, w) class ids."""
    return [class_ids(one.permute(1, 2, 0).contiguous().numpy(), size) for one in logits]


def _seen(layer: Layer) -> fx.Node:
    """Where a layer's result is looked at: behind its rounding, where it has one."""
    assert layer.result is not None
    return layer.outputs[0] if layer.outputs else layer.result


def _result(layer: Layer, sums: _Sums) -> LayerSensitivity:
    assert layer.result is not None
    score = sums.tally.score()
    kind = operator(layer.result)
    if layer.weights:  # the activation is the last operator, and not what the layer is known by
        user = next(iter(next(iter(layer.weights[0].users)).users))
        kind = operator(user)
    return LayerSensitivity(
        layer.name,
        kind.rstrip("_"),
        sums.own.db,
        sums.accumulated.db,
        sums.logits.db,
        score.agreement,
        -100 * score.miou_delta,
    )
