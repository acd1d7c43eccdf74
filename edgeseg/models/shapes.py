"""Networks whose layers have fewer channels than their architecture: the table that rebuilds them.

    {"backbone.stem.0": (16, 3, 3, 3, 1), "backbone.stem.1": (16,), "head": (0, 64, 1, 1, 1)}

A row is the path of a layer and the shape of its weight, with the groups behind that of a convolution. Only layers that
differ from the architecture's own have a row. The outputs of `head` are the classes, which the table leaves open (0): a
network that learns auxiliary classes beside its own has more of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from edgeseg.errors import ModelError
from edgeseg.models.layers import SegmentationNetwork

Shape = tuple[int, ...]
HEAD = "head"
LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.PReLU, nn.Linear)


def shape_of(layer: nn.Module) -> Shape:
    """The row of one of LAYERS."""
    shape = tuple(layer.weight.shape)  # type: ignore[arg-type]
    return (*shape, layer.groups) if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) else shape


def table(network: nn.Module, original: nn.Module) -> dict[str, Shape]:
    """The rows of `network`, which came of the architecture `original` by taking channels away."""
    layers = dict(original.named_modules())
    rows = {name: shape_of(layer) for name, layer in network.named_modules() if isinstance(layer, LAYERS)}
    if HEAD in rows:
        rows[HEAD] = _open(layers[HEAD], rows[HEAD])
    return {name: row for name, row in rows.items() if _filled(row, shape_of(layers[name])) != shape_of(layers[name])}


def reshape(network: SegmentationNetwork, shapes: Mapping[str, Sequence[int]]) -> None:
    """Give the layers of `network` the shapes of a table and fresh weights. A 0 is what the layer has.

    ModelError for a layer that the network does not have, a shape that it cannot take, and shapes that do not go together.
    """
    if not shapes:
        return
    layers = dict(network.named_modules())
    for name, shape in shapes.items():
        if name not in layers:
            raise ModelError(f"the table of channels names {name!r}, a layer that {type(network).__name__} does not have")
        own = shape_of(layers[name]) if isinstance(layers[name], LAYERS) else ()
        row = _filled(shape, own)
        if not _possible(layers[name], row, own):
            raise ModelError(f"layer {name} of shape {own} cannot have the shape {tuple(shape)} of the table of channels")
        _reshape(layers[name], row)
    training, d = network.training, network.size_divisor
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, d, d))
    except RuntimeError as error:
        raise ModelError(f"shapes in the table of channels do not go together ({str(error).splitlines()[0]})") from None
    network.train(training)


def _open(layer: nn.Module, row: Shape) -> Shape:
    axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    return tuple(0 if i == axis else n for i, n in enumerate(row))


def _filled(row: Sequence[int], own: Shape) -> Shape:
    return tuple(b if a == 0 else a for a, b in zip(row, own, strict=True)) if len(row) == len(own) else tuple(row)


def _possible(layer: nn.Module, row: Shape, own: Shape) -> bool:
    """Whether `row` is `own` with as many channels or fewer: no table makes a network larger."""
    if not own or len(row) != len(own) or not all(type(n) is int and n > 0 for n in row):
        return False
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return all(a <= b for a, b in zip(row, own, strict=True))
    (first, second, *kernel, groups), (own_first, own_second, *own_kernel, own_groups) = row, own
    return kernel == own_kernel and first % groups == 0 and first <= own_first and second * groups <= own_second * own_groups


@torch.no_grad()
def _reshape(layer: nn.Module, row: Shape) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        *shape, layer.groups = row
        outputs, inputs = shape[0], shape[1] * layer.groups
        if isinstance(layer, nn.ConvTranspose2d):
            outputs, inputs = inputs, outputs
        layer.out_channels, layer.in_channels = outputs, inputs
        layer.weight = nn.Parameter(layer.weight.new_empty(shape))
        layer.bias = None if layer.bias is None else nn.Parameter(layer.bias.new_empty(outputs))
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = row
        layer.weight = nn.Parameter(layer.weight.new_empty(row))
        layer.bias = None if layer.bias is None else nn.Parameter(layer.bias.new_empty(row[0]))
    elif isinstance(layer, nn.BatchNorm2d):
        layer.num_features = row[0]
        for name in ("weight", "bias"):
            setattr(layer, name, nn.Parameter(layer.weight.new_empty(row)))
        for name in ("running_mean", "running_var"):
            setattr(layer, name, layer.weight.new_empty(row))
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = row[0]
        layer.weight = nn.Parameter(layer.weight.new_empty(row))
    layer.reset_parameters()  # type: ignore[operator]
