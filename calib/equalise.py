"""Cross-layer equalisation: channels that are small in one layer are enlarged there and reduced in the next.

Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction" (arXiv 1906.04721), section 4.1.
For an activation with f(s x) = s f(x), channel i between two layers may be divided by any s_i > 0 in the first and
multiplied by it in the second. With r1_i and r2_i the largest absolute weights of channel i on either side, the best is

    s_i = sqrt(r1_i r2_i) / r2_i                                                             (equation 11)

since both are sqrt(r1_i r2_i) afterwards. Chains of layers are gone through until nothing moves.

ReLU6 has no such f beyond 6. The paper puts ReLU in its place, which changes the function wherever 6 was reached. Here
the clip stays, and only those channels are scaled that stay clear of it on the calibration pictures, before and after.

What is between the two layers must treat channels alone and linearly but for its sign (ReLU, pooling, enlargement,
padding with zeros), and must have no other reader: residuals, skip connections and concatenations are left as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from edgeseg.calib.observers import HistogramObserver
from edgeseg.calib.simulate import refresh_weights

aten = torch.ops.aten

CONVOLUTIONS = {aten.conv2d.default, aten.conv2d.padding}
HOMOGENEOUS = {
    aten.relu.default,
    aten.relu_.default,
    aten.max_pool2d.default,
    aten.upsample_nearest2d.vec,
    aten.upsample_bilinear2d.vec,
    aten.dropout.default,
}
CLIPS = {aten.relu6.default, aten.relu6_.default, aten.hardtanh.default, aten.hardtanh_.default}
CLEAR = 0.5  # of the clip, which a channel that is scaled may reach on the calibration pictures; others may reach further
SETTLED = 1e-3  # largest change of a channel, as a share, at which rounds end
MAX_ROUNDS = 100


@dataclass(frozen=True)
class Pair:
    """Two convolutions of which the second is the only reader of the first."""

    first: fx.Node
    second: fx.Node
    clip: str = ""  # the observer behind a ReLU6 between them
    ceiling: float = 0.0  # of that ReLU6


def find_pairs(prepared: fx.GraphModule) -> list[Pair]:
    """All pairs of a prepared graph that may be scaled, in its order."""
    called: dict[int, int] = {}
    for node in prepared.graph.nodes:
        if node.op == "call_module":
            key = id(prepared.get_submodule(str(node.target)))
            called[key] = called.get(key, 0) + 1
    pairs = []
    for node in prepared.graph.nodes:
        if node.target in CONVOLUTIONS and all(_only_reader(prepared, node, i) for i in (1, 2)):
            pair = _pair(prepared, node, called)
            if pair is not None:
                pairs.append(pair)
    return pairs


def watch_clips(prepared: fx.GraphModule, pairs: list[Pair]) -> None:
    """Have the observers behind ReLU6 keep the peak of each channel; before pictures are run."""
    for pair in pairs:
        if pair.clip:
            _observer(prepared, pair.clip).by_channel = True


def equalise(prepared: fx.GraphModule, pairs: list[Pair]) -> float:
    """Scale the weights of `pairs` in place; gives the largest factor by which a channel was scaled, 1 for none.

    Pairs with a ReLU6 are scaled only where `watch_clips` came before the pictures. The ranges have to be measured again.
    """
    peaks: dict[str, Tensor] = {}
    for pair in pairs:
        if pair.clip:
            seen = _observer(prepared, pair.clip).peaks
            if seen is not None:
                peaks[pair.clip] = seen.clone()
    total = {pair: torch.ones(_weight(prepared, pair.first).shape[0]) for pair in pairs}
    for _ in range(MAX_ROUNDS):
        moved = 0.0
        for pair in pairs:
            if pair.clip and pair.clip not in peaks:
                continue
            scale = factors(_weight(prepared, pair.first), _weight(prepared, pair.second), _groups(pair.second))
            if pair.clip:
                scale = clear_of_clip(scale, peaks[pair.clip], CLEAR * pair.ceiling)
                peaks[pair.clip] = peaks[pair.clip] / scale
            _rescale(prepared, pair, scale)
            total[pair] *= scale
            moved = max(moved, float((scale - 1).abs().max()))
        if moved < SETTLED:
            break
    refresh_weights(prepared)
    return max((float(torch.maximum(scale, 1 / scale).max()) for scale in total.values()), default=1.0)


def factors(first: Tensor, second: Tensor, groups: int) -> Tensor:
    """s of equation 11, (channels,); 1 where a channel has no weights on one side.

    first (channels, ...), second (out, channels / groups, kh, kw)
    """
    r1 = first.abs().flatten(1).amax(1)
    r2 = second.abs().reshape(groups, -1, *second.shape[1:]).amax((1, 3, 4)).reshape(-1)
    return torch.where((r1 > 0) & (r2 > 0), (r1 / r2.clamp(min=1e-30)).sqrt(), torch.ones_like(r1))


def clear_of_clip(scale: Tensor, peaks: Tensor, ceiling: float) -> Tensor:
    """`scale` where a channel, divided by it, stays below `ceiling`; drawn in to where it just does; 1 where it never did."""
    return torch.where(peaks < ceiling, torch.maximum(scale, peaks / ceiling), torch.ones_like(scale))


def snapshot(prepared: fx.GraphModule) -> dict[str, Tensor]:
    """A copy of all weights and biases."""
    return {name: value.detach().clone() for name, value in prepared.named_parameters()}


def restore(prepared: fx.GraphModule, weights: Mapping[str, Tensor]) -> None:
    """Put back what `snapshot` gave, or a part of it."""
    for name, value in weights.items():
        prepared.get_parameter(name).data = value.clone()
    refresh_weights(prepared)


def _pair(prepared: fx.GraphModule, first: fx.Node, called: dict[int, int]) -> Pair | None:
    clip, ceiling = "", 0.0
    node = first
    while len(node.users) == 1:
        reader = next(iter(node.users))
        if reader.target in CONVOLUTIONS:
            good = reader.args[0] is node and _only_reader(prepared, reader, 1)
            return Pair(first, reader, clip, ceiling) if good else None
        if reader.target in CLIPS:
            low, high = reader.args[1:3] if reader.target in (aten.hardtanh.default, aten.hardtanh_.default) else (0.0, 6.0)
            behind = next(iter(reader.users))
            if clip or float(_number(low)) != 0 or len(reader.users) > 1 or not _is_range(prepared, behind):
                return None
            if called[id(prepared.get_submodule(str(behind.target)))] > 1:
                return None  # its peaks would be of several tensors
            clip, ceiling = str(behind.target), float(_number(high))
        elif not (_is_range(prepared, reader) or reader.target in HOMOGENEOUS or _pads_zeros(reader)):
            return None
        node = reader
    return None


def _pads_zeros(node: fx.Node) -> bool:
    """Whether `node` pads rows and columns with zeros."""
    if node.target not in (aten.pad.default, aten.constant_pad_nd.default):
        return False
    constant = node.target is aten.constant_pad_nd.default or len(node.args) < 3 or node.args[2] == "constant"
    value = node.args[-1] if len(node.args) > (2 if node.target is aten.constant_pad_nd.default else 3) else None
    amounts: Any = node.args[1]
    return constant and not value and len(amounts) <= 4


def _number(value: Any) -> float:
    return float(value)


def _is_range(prepared: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(prepared.get_submodule(str(node.target)), HistogramObserver)


def _observer(prepared: fx.GraphModule, name: str) -> HistogramObserver:
    observer = prepared.get_submodule(name)
    assert isinstance(observer, HistogramObserver)
    return observer


def _parameter(conv: fx.Node, index: int) -> fx.Node | None:
    """The node of the weight (1) or bias (2) of `conv`, before its observer."""
    node = conv.args[index] if len(conv.args) > index else None
    while isinstance(node, fx.Node) and node.op == "call_module":
        node = node.args[0]
    return node if isinstance(node, fx.Node) else None


def _only_reader(prepared: fx.GraphModule, conv: fx.Node, index: int) -> bool:
    """Whether the weight (1) or bias (2) of `conv` is a parameter of this layer alone; true of a bias that is not there."""
    node = _parameter(conv, index)
    if node is None:
        return index == 2
    same = [n for n in prepared.graph.nodes if n.op == "get_attr" and n.target == node.target]
    return node.op == "get_attr" and len(same) == 1 and len(node.users) == 1


def _weight(prepared: fx.GraphModule, conv: fx.Node) -> Tensor:
    node = _parameter(conv, 1)
    assert node is not None
    return prepared.get_parameter(str(node.target)).detach()


def _groups(conv: fx.Node) -> int:
    return int(conv.args[6]) if len(conv.args) > 6 else 1  # type: ignore[arg-type]


def _rescale(prepared: fx.GraphModule, pair: Pair, scale: Tensor) -> None:
    """Channel i divided by scale_i on its way out of the first layer, multiplied on its way into the second."""
    weight = _weight(prepared, pair.first)
    _set(prepared, pair.first, 1, weight / scale[:, None, None, None])
    bias = _parameter(pair.first, 2)
    if bias is not None:
        _set(prepared, pair.first, 2, prepared.get_parameter(str(bias.target)).detach() / scale)
    second, groups = _weight(prepared, pair.second), _groups(pair.second)
    grouped = second.reshape(groups, -1, *second.shape[1:]) * scale.reshape(groups, 1, -1, 1, 1)
    _set(prepared, pair.second, 1, grouped.reshape(second.shape))


def _set(prepared: fx.GraphModule, conv: fx.Node, index: int, value: Tensor) -> None:
    node = _parameter(conv, index)
    assert node is not None
    prepared.get_parameter(str(node.target)).data = value.contiguous()
