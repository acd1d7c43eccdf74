"""Structured pruning: channels are really removed, until a network has the multiply-adds that it is to have.

    from dataclasses import replace
    from edgeseg.compress.prune import prune, pruned_card
    from edgeseg.models.checkpoint import load_model, save_checkpoint

    model = load_model("runs/person/last.safetensors")
    result = prune(model.network, model.card.size, macs=85e6, importance="taylor", batches=batches, loss=task.loss)
    print(result)                                   # layer, channels and MACs before and after
    save_checkpoint(Path("pruned.safetensors"), result.network, pruned_card(model.card, result.network))

`batches` gives (image, truth) as `edgeseg.train.samples.Pictures.batches` does, and `loss` takes (logits, truth). The file
is a checkpoint like any other: `edgeseg train pruned.safetensors --data DIR` heals what was lost, `eval` and `export` take it.

Channels go in blocks that leave a multiple of `round_to`, as the kernels like them. The block to go next is the one that is
missed least, with "taylor" for the MACs that it frees, which are counted anew after every block.
"""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn

from edgeseg.compress.channels import ChannelSet, channel_sets, depthwise
from edgeseg.compress.importance import Importance, Loss, importances
from edgeseg.compress.plan import Plan, channels_and_macs, pixels_of
from edgeseg.errors import ModelError, UsageError
from edgeseg.models.checkpoint import ModelCard
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.models.shapes import HEAD, table

Scope = Literal["global", "layer"]


class Unreachable(UsageError):
    """More was asked for than can go; `least` MACs is what can be reached."""

    def __init__(self, message: str, least: int) -> None:
        super().__init__(message)
        self.least = least


@dataclass(frozen=True)
class LayerChange:
    """A convolution before and after; channels are those that it writes."""

    name: str
    channels_before: int
    channels: int
    macs_before: int
    macs: int


@dataclass(frozen=True)
class Pruned:
    """A smaller network, and what has become of each of its convolutions."""

    network: SegmentationNetwork
    layers: tuple[LayerChange, ...]
    gone: dict[str, tuple[int, ...]]  # the first layer that writes a set of channels -> which of them are gone
    kept: dict[str, str]  # such a layer -> why all of them have to stay

    @property
    def macs_before(self) -> int:
        return sum(layer.macs_before for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    def __str__(self) -> str:
        width = max(len(layer.name) for layer in self.layers)
        rows = [
            f"{row.name:<{width}}  {row.channels_before:5d} -> {row.channels:4d}  "
            f"{row.macs_before / 1e6:8.2f} -> {row.macs / 1e6:7.2f} MMAC"
            for row in self.layers
        ]
        rows += [f"{name} keeps its channels: {reason}" for name, reason in self.kept.items()]
        return "\n".join([*rows, f"{self.macs_before / 1e6:.1f} -> {self.macs / 1e6:.1f} MMAC"])


def prune(
    network: SegmentationNetwork,
    size: tuple[int, int],
    *,
    macs: float,
    importance: Importance = "l2",
    scope: Scope = "global",
    per_mac: bool | None = None,
    round_to: int = 8,
    floor: float = 0.12,
    original: SegmentationNetwork | None = None,
    protected: Sequence[str] = (),
    batches: Iterable[tuple[Tensor, Any]] = (),
    loss: Loss | None = None,
    rounds: int = 1,
    seed: int = 0,
) -> Pruned:
    """A copy of `network` with at most `macs` multiply-adds on an image of `size` (height, width), in evaluation mode.

    macs        a number of MACs, or up to 1 a share of those that the network has
    scope       "global" compares the channels of all layers, "layer" takes an equal share of each
    per_mac     importance is divided by the MACs that are freed ("global" only); by default that of "taylor", which alone
                has a unit, that of the loss
    round_to    channels that are left are a multiple of it, and at least it
    floor       share of its channels that every layer keeps, of those that it has in `original` (or `network`)
    protected   layers (paths, globs, or parts of the network such as "backbone") that keep their inputs and outputs
    batches     for "taylor", see `importances`; read again in every round
    rounds      in how many steps to the target; the importance is taken anew for each

    Unreachable for a target below what every layer keeps, UsageError for a protected layer that does not exist, ModelError for
    a network whose channels cannot be followed.
    """
    if macs <= 0 or not 0 <= floor <= 1 or round_to < 1 or rounds < 1 or scope not in get_args(Scope):
        raise UsageError(
            f"pruning takes macs > 0, 0 <= floor <= 1, round_to >= 1, rounds >= 1, scope {' or '.join(get_args(Scope))}; "
            f"got {macs}, {floor}, {round_to}, {rounds}, {scope}"
        )
    by_mac = importance == "taylor" if per_mac is None else per_mac
    if rounds > 1 and importance == "taylor":
        batches = list(batches)
    pixels = pixels_of(network, size)
    before = channels_and_macs(network, pixels)
    has = sum(each for _, each in before.values())
    guarded = guarded_layers(network, protected)
    pruned = copy.deepcopy(network).eval()
    sets = [guard(channels, guarded) for channels in channel_sets(pruned)]
    least = {c.name: _least(c.count, floor, round_to) for c in (channel_sets(original) if original else sets)}
    kept = {c.name: _reason(c, guarded) for c in sets if c.fixed.all()}
    counts = {c.name: c.count for c in sets}
    alive = {name: np.arange(n) for name, n in counts.items()}
    for goal in milestones(has, macs * has if macs <= 1 else macs, rounds):
        plan = Plan(pruned, sets, pixels)
        scores = [
            score.where(~channels.fixed, torch.inf).numpy()
            for score, channels in zip(
                importances(pruned, sets, importance, batches=batches, loss=loss, seed=seed), sets, strict=True
            )
        ]
        most = np.array([min(int((~c.fixed).sum()), c.count - least.get(c.name, 0)) for c in sets], float)
        removed = plan.choose(goal, scores if scope == "global" else None, most, round_to, by_mac)
        if plan.macs(removed) > goal:
            raise Unreachable(
                f"{goal / 1e6:.1f} MMAC cannot be reached: with every layer at its least there are "
                f"{plan.macs(removed) / 1e6:.1f}; lower floor ({floor}) or round_to ({round_to}), or protect fewer layers"
                f"{_who_stays(kept)}",
                round(float(plan.macs(removed))),
            )
        which = [np.sort(np.argsort(score, kind="stable")[: int(n)]) for score, n in zip(scores, removed, strict=True)]
        _remove(pruned, sets, which)
        for channels, indices in zip(sets, which, strict=True):
            alive[channels.name] = np.delete(alive[channels.name], indices)
        sets = [guard(channels, guarded) for channels in channel_sets(pruned)] if rounds > 1 else sets
    _check(network, pruned)
    after = channels_and_macs(pruned, pixels)
    rows = tuple(LayerChange(path, before[path][0], after[path][0], before[path][1], after[path][1]) for path in before)
    gone = {name: tuple(sorted({*range(counts[name])} - {*left.tolist()})) for name, left in alive.items()}
    return Pruned(pruned, rows, {name: indices for name, indices in gone.items() if indices}, kept)


def milestones(has: float, target: float, steps: int) -> list[float]:
    """MACs after each of `steps` prunings, from `has` to `target` by equal factors.

    To heal between them, prune to each with the untouched network as `original`, and train what comes out.
    """
    return [target * (has / target) ** (1 - (i + 1) / steps) for i in range(steps)] if has > target else []


def pruned_card(card: ModelCard, network: SegmentationNetwork) -> ModelCard:
    """`card` for a pruned form of its network: with the table of channels, without accuracy and int8 ranges.

    Where layers of a pruned network are substituted afterwards, take the card with those rewrites, and this again.
    """
    original = dataclasses.replace(card, shapes={}).build()
    return dataclasses.replace(card, shapes=table(network, original), accuracy={}, ranges={})


def _check(network: SegmentationNetwork, pruned: SegmentationNetwork) -> None:
    """ModelError where the channels that went were not all of their kind: the network has operators without a rule."""
    image = torch.zeros(1, 3, 2 * network.size_divisor, 2 * network.size_divisor)
    training = network.training
    with torch.no_grad():
        expected = network.eval()(image).shape
        network.train(training)
        try:
            fits = pruned(image).shape == expected
        except (RuntimeError, IndexError):
            fits = False
    if not fits:
        raise ModelError(f"{type(network).__name__} has operators that pruning cannot follow; protect the layers around them")


def _remove(network: nn.Module, sets: Sequence[ChannelSet], gone: Sequence[Any]) -> None:
    """Take the channels `gone` (n,) of each set out of all layers, in place."""
    indices: dict[tuple[str, str], list[int]] = {}
    for channels, which in zip(sets, gone, strict=True):
        for place, at in channels.places.items():
            indices.setdefault(place, []).extend(at[torch.from_numpy(which)].flatten().tolist())
    layers = dict(network.named_modules())
    for (path, side), at_layer in indices.items():
        layer = layers[path]
        if at_layer and depthwise(layer):
            _remove_depthwise(layer, at_layer)
        elif at_layer:
            pruner = torch_pruning.pruner.function.PrunerBox[torch_pruning.ops.module2type(layer)]
            (pruner.prune_out_channels if side == "out" else pruner.prune_in_channels)(layer, at_layer)


def _remove_depthwise(layer: nn.Conv2d, outputs: Sequence[int]) -> None:
    """torch-pruning knows those with one output for an input only."""
    keep = torch.tensor(sorted({*range(layer.out_channels)} - {*outputs}))
    several = layer.out_channels // layer.in_channels
    layer.out_channels = len(keep)
    layer.in_channels = layer.groups = len(keep) // several
    layer.weight = nn.Parameter(layer.weight.detach()[keep])
    layer.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach()[keep])


def _least(count: int, floor: float, round_to: int) -> int:
    """Of `count` channels, how many stay in any case."""
    return min(count, max(round_to, round_to * math.ceil(floor * count / round_to)))


def guarded_layers(network: nn.Module, protected: Sequence[str]) -> set[str]:
    """Paths of all layers that `protected` names, by path, glob or part of the network; UsageError for what names none."""
    paths = [path for path, _ in network.named_modules() if path]
    guarded = set()
    for pattern in protected:
        hits = [p for p in paths if p == pattern or p.startswith(f"{pattern}.") or fnmatch.fnmatchcase(p, pattern)]
        if not hits:
            raise UsageError(f"no layer to protect is named {pattern!r}; there are {', '.join(paths[:4])}, ...")
        guarded.update(hits)
    return guarded


def guard(channels: ChannelSet, guarded: set[str]) -> ChannelSet:
    """The same channels, all fixed where one of the layers of `guarded` has them."""
    if any(path in guarded for path, _ in channels.places):
        return dataclasses.replace(channels, fixed=torch.ones_like(channels.fixed))
    return channels


def _who_stays(kept: dict[str, str]) -> str:
    """As in " (stem.0 and 11 more keep all channels: it is protected)"; nothing where only the logits do."""
    others = {name: reason for name, reason in kept.items() if name != HEAD}
    if not others:
        return ""
    first, reason = next(iter(others.items()))
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f" ({first}{more} keep all channels: {reason})"


def _reason(channels: ChannelSet, guarded: set[str]) -> str:
    first = next((path for path, _ in channels.places if path in guarded), None)
    if first is not None:
        return "it is protected" if first == channels.name else f"{first} is protected"
    return "they are the logits" if channels.name == HEAD else "its operators have no rule for removing any"
