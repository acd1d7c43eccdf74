"""Which channels of a network can only be taken away together.

torch-pruning's dependency graph (Fang et al. 2023, arXiv 2301.12900) follows a channel through residual additions,
concatenations, depthwise convolutions and broadcasts. Three things it cannot see are added here: channels that `F.pad`
appends; the image's own channels in ENet's first layer; and the masks of ENet's max-pooling, which tie the stream that was
pooled to the stream that is unpooled.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

import torch
import torch_pruning
from torch import Tensor, nn
from torch_pruning.dependency import index_mapping, shape_infer

from edgeseg.errors import ModelError
from edgeseg.models.enet import Downsample, Initial, Upsample
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.models.shapes import LAYERS

Side = Literal["out", "in"]
Place = tuple[str, Side]  # path of a layer; what computes each channel by itself (batch norm, depthwise) has "out" only
Atom = tuple[str, Side, int]
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)  # what multiplies


@dataclass(frozen=True)
class ChannelSet:
    """n channels with the same places: any of them can go without the others, from all places at once.

    places  layer and side -> (n, k) indices there, k = 1 but where a channel enters a layer several times
    fixed   (n,) bool: those that have to stay
    """

    places: dict[Place, Tensor]
    fixed: Tensor

    @property
    def count(self) -> int:
        return len(self.fixed)

    @property
    def name(self) -> str:
        """The first layer that writes these channels."""
        return next(layer for layer, side in self.places if side == "out")

    def mean(self, measure: Callable[[str, bool], Tensor | None]) -> Tensor | None:
        """(n,) mean over the places of what `measure` (path, reads it?) gives for all channels of a layer; None leaves a
        place out. Zero for channels that ENet's first layer takes from the image and does not compute.
        """
        found = []
        for (path, side), indices in self.places.items():
            values = measure(path, side == "in")
            if values is not None:
                enough = torch.cat([values, values.new_zeros(max(0, int(indices.max()) + 1 - len(values)))])
                found.append(enough[indices].sum(1))
        return torch.stack(found).mean(0) if found else None


def depthwise(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether each output of a convolution reads one input only; an input may have several outputs, side by side."""
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1


def channel_sets(network: SegmentationNetwork) -> list[ChannelSet]:
    """All channels that are written by a layer of `network`, each in one set, in the order of the layers.

    Channels of the logits and those of layers that have no rule are fixed.
    """
    shadow = copy.deepcopy(network).eval()
    size = (2 * network.size_divisor, 2 * network.size_divisor)  # channels are the same at every size
    find, fixed = _Components(), set(_without_image(shadow))
    for parameter in shadow.parameters():
        parameter.requires_grad_(True)
    order = {name: i for i, (name, _) in enumerate(shadow.named_modules())}
    masks = _masks(shadow, size)
    graph = _graph(shadow, size)
    paths = {module: name for name, module in shadow.named_modules()}
    for root, items in _groups(graph):
        for layer, side, indices, roots in items:
            follows = layer in paths and isinstance(layer, LAYERS) and max(indices) < _width(layer, side)
            unknown = layer in paths or isinstance(layer, torch_pruning.ops._OutputOp | nn.Parameter)
            for index, root_index in zip(indices, roots, strict=True):
                origin: Atom = (paths[root], "out", root_index)
                if follows:
                    find.join(origin, (paths[layer], side, index))
                elif unknown:
                    fixed.add(origin)
    for down, up in masks:
        reader = next(layer for layer in down.project.modules() if isinstance(layer, nn.Conv2d))
        for i in range(reader.in_channels):
            find.join((paths[reader], "in", i), (paths[up.identity[1]], "out", i))
    for layer in shadow.modules():
        path = paths[layer]
        if depthwise(layer):
            for i in range(layer.out_channels):
                find.join((path, "in", i * layer.in_channels // layer.out_channels), (path, "out", i))
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.groups > 1:
            fixed.update((path, "out", i) for i in range(layer.out_channels))
            fixed.update((path, "in", i) for i in range(layer.in_channels))
        if layer in graph.module2node and isinstance(layer, CONVOLUTIONS) and not graph.module2node[layer].outputs:
            fixed.update((path, "out", i) for i in range(graph.get_out_channels(layer)))
    alone = {paths[layer] for layer in shadow.modules() if depthwise(layer)}
    return _sets(find, {find.root(atom) for atom in fixed}, order, alone)


def _width(layer: nn.Module, side: Side) -> float:
    """How many channels a layer writes or reads."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return layer.out_channels if side == "out" else layer.in_channels
    if isinstance(layer, nn.Linear):
        return layer.out_features if side == "out" else layer.in_features
    if isinstance(layer, nn.PReLU):
        return layer.num_parameters if layer.num_parameters > 1 else math.inf  # one slope serves any number
    assert isinstance(layer, nn.BatchNorm2d)
    return layer.num_features


class _Components:
    """Union-find over atoms."""

    def __init__(self) -> None:
        self.parent: dict[Atom, Atom] = {}

    def root(self, atom: Atom) -> Atom:
        self.parent.setdefault(atom, atom)
        while self.parent[atom] != atom:
            self.parent[atom] = self.parent[self.parent[atom]]
            atom = self.parent[atom]
        return atom

    def join(self, a: Atom, b: Atom) -> None:
        self.parent[self.root(b)] = self.root(a)

    def all(self) -> list[list[Atom]]:
        components = defaultdict(list)
        for atom in self.parent:
            components[self.root(atom)].append(atom)
        return list(components.values())


def _sets(find: _Components, fixed: set[Atom], order: dict[str, int], alone: set[str]) -> list[ChannelSet]:
    """Components with the same places, joined; of the layers `alone` outputs are places, inputs are not."""
    members: dict[tuple[tuple[str, Side, int], ...], list[tuple[dict[Place, list[int]], bool]]] = defaultdict(list)
    for component in find.all():
        places: dict[Place, list[int]] = defaultdict(list)
        for layer, side, index in sorted(component, key=lambda atom: (order[atom[0]], atom[1] == "in", atom[2])):
            if side == "out" or layer not in alone:
                places[layer, side].append(index)
        if not any(side == "out" for _, side in places):
            continue  # channels of the image
        signature = tuple((*place, len(indices)) for place, indices in places.items())
        members[signature].append((dict(places), find.root(component[0]) in fixed))
    sets = []
    for channels in members.values():
        first = next(iter(channels[0][0]))
        channels.sort(key=lambda channel: channel[0][first])
        sets.append(
            ChannelSet(
                {place: torch.tensor([places[place] for places, _ in channels]) for place in channels[0][0]},
                torch.tensor([is_fixed for _, is_fixed in channels]),
            )
        )
    return sorted(sets, key=lambda channels: order[channels.name])


def _groups(graph: Any) -> Iterator[tuple[nn.Module, list[tuple[Any, Side, list[int], list[int]]]]]:
    """Groups of torch-pruning that together have every output channel: root, and (layer, side, indices, of the root) each.

    Its own `get_all_groups` takes a layer for done that is in a group with some of its channels.
    """
    done: set[tuple[nn.Module, int]] = set()
    for layer in list(graph.module2node):
        if not isinstance(layer, CONVOLUTIONS):
            continue
        left = [i for i in range(graph.get_out_channels(layer)) if (layer, i) not in done]
        if not left:
            continue
        items: list[tuple[Any, Side, list[int], list[int]]] = []
        for item in graph.get_pruning_group(layer, graph.get_pruner_of_module(layer).prune_out_channels, left):
            target = item.dep.target.module
            side: Side = "out" if graph.is_out_channel_pruning_fn(item.dep.handler) else "in"
            items.append((target, side, list(item.idxs), list(item.root_idxs)))
            if side == "out":
                done.update((target, i) for i in item.idxs)
        yield layer, items


def _without_image(network: nn.Module) -> Iterator[Atom]:
    """Let ENet's first layer compute all its channels by its convolution; gives those that come of the image."""
    for path, layer in list(network.named_modules()):
        if isinstance(layer, Initial):
            channels, own = layer.bn.num_features, layer.conv.out_channels
            whole = nn.Conv2d(layer.conv.in_channels, channels, 3, stride=2, padding=1, bias=False)
            network.set_submodule(path, nn.Sequential(OrderedDict(conv=whole, bn=layer.bn, act=layer.act)))
            yield from ((f"{path}.conv", "out", i) for i in range(own, channels))


def _graph(network: nn.Module, size: tuple[int, int]) -> Any:
    """The dependency graph of `network`, whose channels appended by `F.pad` belong to nobody before it."""
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")  # of torch-pruning, of operators that it takes for element-wise ones
        graph = torch_pruning.DependencyGraph().build_dependency(network, torch.zeros(1, 3, *size))
    for node in list(graph.module2node.values()):
        if not isinstance(node.module, torch_pruning.ops._ElementWiseOp) or "ConstantPadNd" not in str(node.module._grad_fn):
            continue
        (source,) = node.inputs
        channels = shape_infer.infer_out_channels_recursively(graph, source, [0])
        if channels is None:
            raise ModelError("torch-pruning cannot follow the channels of a padding; this network cannot be pruned")
        for dep in node.dependencies:
            if dep.target is source:
                dep.index_mapping[1] = index_mapping._ConcatIndexMapping([0, channels], reverse=True)
    return graph


def _masks(network: nn.Module, size: tuple[int, int]) -> list[tuple[Downsample, Upsample]]:
    """(downsampling block, upsampling block) for every mask that goes from one to the other."""
    made: list[tuple[Tensor, Downsample]] = []  # holds the masks, so that none takes the identity of another
    pairs: list[tuple[Downsample, Upsample]] = []

    def note(module: Downsample, _: Any, output: tuple[Tensor, Tensor]) -> None:
        made.append((output[1], module))

    def match(module: Upsample, inputs: tuple[Tensor, ...]) -> None:
        pairs.extend((down, module) for mask, down in made if mask is inputs[1])

    hooks = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, Downsample)]
    hooks += [module.register_forward_pre_hook(match) for module in network.modules() if isinstance(module, Upsample)]
    with torch.no_grad():
        network(torch.zeros(1, 3, *size))
    for hook in hooks:
        hook.remove()
    return pairs
