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
missed least for the MACs that it frees, and those are counted anew after every block.
"""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch_pruning
from torch import Tensor, nn

from edgeseg.compress.channels import ChannelSet, channel_sets, depthwise
from edgeseg.compress.importance import Importance, Loss, importances
from edgeseg.errors import UsageError
from edgeseg.models.checkpoint import ModelCard
from edgeseg.models.layers import SegmentationNetwork
from edgeseg.models.shapes import HEAD, table

Scope = Literal["global", "layer"]
Counts = npt.NDArray[np.float64]
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


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
    kept: dict[str, str]  # layer -> why it keeps all channels that it writes

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
        rows += [f"{name}: {reason}" for name, reason in self.kept.items()]
        return "\n".join([*rows, f"{self.macs_before / 1e6:.1f} -> {self.macs / 1e6:.1f} MMAC"])


def prune(
    network: SegmentationNetwork,
    size: tuple[int, int],
    *,
    macs: float,
    importance: Importance = "l2",
    scope: Scope = "global",
    per_mac: bool = True,
    round_to: int = 8,
    floor: float = 0.12,
    protected: Sequence[str] = (),
    batches: Iterable[tuple[Tensor, Any]] = (),
    loss: Loss | None = None,
    rounds: int = 1,
    seed: int = 0,
) -> Pruned:
    """A copy of `network` with at most `macs` multiply-adds on an image of `size` (height, width), in evaluation mode.

    macs        a number of MACs, or up to 1 a share of those that the network has
    scope       "global" compares the channels of all layers, "layer" takes an equal share of each
    per_mac     importance is divided by the MACs that are freed ("global" only)
    round_to    channels that are left are a multiple of it, and at least it
    floor       share of its channels that every layer keeps
    protected   layers (paths, globs, or parts of the network such as "backbone") that keep their inputs and outputs
    batches     for "taylor", see `importances`; read again in every round
    rounds      in how many steps to the target; the importance is taken anew for each

    Unreachable for a target below what every layer keeps, UsageError for a protected layer that does not exist.
    """
    if macs <= 0 or not 0 <= floor <= 1 or round_to < 1 or rounds < 1 or scope not in get_args(Scope):
        raise UsageError(
            f"pruning takes macs > 0, 0 <= floor <= 1, round_to >= 1, rounds >= 1, scope {' or '.join(get_args(Scope))}; "
            f"got {macs}, {floor}, {round_to}, {rounds}, {scope}"
        )
    pixels = _pixels(network, size)
    before = _layers(network, pixels)
    has = sum(row[1] for row in before.values())
    target = macs * has if macs <= 1 else macs
    least: dict[str, int] = {}
    guarded = _guarded(network, protected)
    kept: dict[str, str] = {}
    pruned = copy.deepcopy(network).eval()
    if isinstance(batches, Iterable) and rounds > 1:
        batches = list(batches)
    for i in range(rounds):
        sets = [_guard(channels, guarded) for channels in channel_sets(pruned)]
        kept = {c.name: _reason(c, guarded) for c in sets if c.fixed.all()}
        if _total(pruned, pixels) <= target:
            break
        least = least or {c.name: _least(c.count, floor, round_to) for c in sets}
        scores = importances(pruned, sets, importance, batches=batches, loss=loss, seed=seed)
        plan = _Plan(pruned, sets, pixels, scores, least, round_to)
        per = (lambda score, freed: score / freed) if per_mac else (lambda score, freed: score)
        goal = target * (has / target) ** (1 - (i + 1) / rounds)
        removed = plan.choose(goal, per if scope == "global" else None)
        if plan.macs(removed) > goal:
            raise Unreachable(
                f"{target / 1e6:.1f} MMAC cannot be reached: with every layer at its least there are "
                f"{plan.macs(removed) / 1e6:.1f}; lower floor ({floor}) or round_to ({round_to}), or protect fewer layers",
                round(plan.macs(removed)),
            )
        _remove(pruned, sets, [np.argsort(plan.scores[s], kind="stable")[: int(removed[s])] for s in range(len(sets))])
    after = _layers(pruned, pixels)
    rows = [LayerChange(path, before[path][0], after[path][0], before[path][1], after[path][1]) for path in before]
    return Pruned(pruned, tuple(rows), kept)


def pruned_card(card: ModelCard, network: SegmentationNetwork) -> ModelCard:
    """`card` for a pruned form of its network: with the table of channels, without accuracy and int8 ranges."""
    original = dataclasses.replace(card, shapes={}).build()
    return dataclasses.replace(card, shapes=table(network, original), accuracy={}, ranges={})


class _Plan:
    """What any choice of channels costs: with s sets and l layers, layers keep own - matrix @ removed channels."""

    def __init__(
        self, network: nn.Module, sets: Sequence[ChannelSet], pixels: dict[str, int], scores: Sequence[Tensor],
        least: dict[str, int], round_to: int,
    ) -> None:  # fmt: skip
        self.scores = [score.where(~channels.fixed, torch.inf).numpy() for score, channels in zip(scores, sets, strict=True)]
        self.round_to = round_to
        self.count = np.array([channels.count for channels in sets])
        free = np.array([int((~channels.fixed).sum()) for channels in sets])
        self.most = np.minimum(free, self.count - [least[channels.name] for channels in sets])  # that may go
        layers = {path: layer for path, layer in network.named_modules() if path in pixels}
        shape = (len(layers), len(sets))
        self.outputs, self.inputs = np.zeros(shape), np.zeros(shape)
        for row, path in enumerate(layers):
            for column, channels in enumerate(sets):
                for side, matrix in (("out", self.outputs), ("in", self.inputs)):
                    if (path, side) in channels.places:
                        matrix[row, column] = channels.places[path, side].shape[1]  # type: ignore[index]
        widths = [_widths(layer) for layer in layers.values()]
        self.own_outputs, self.own_inputs = (np.array([w[i] for w in widths], float) for i in range(2))
        self.depthwise = np.array([depthwise(layer) for layer in layers.values()])
        kernels = [layer.weight.numel() / (o * i) for layer, (o, i) in zip(layers.values(), widths, strict=True)]
        self.factor = np.array([pixels[path] * kernel for path, kernel in zip(layers, kernels, strict=True)])
        self.cumulated = [np.concatenate([[0.0], np.cumsum(np.sort(score))]) for score in self.scores]

    def macs(self, removed: Counts) -> float:
        return float(self._macs(removed[:, None])[0])

    def _macs(self, removed: Counts) -> Counts:
        """removed (s, k) -> (k,)"""
        outputs = self.own_outputs[:, None] - self.outputs @ removed
        inputs = self.own_inputs[:, None] - self.inputs @ removed
        inputs[self.depthwise] = 1
        return np.asarray(self.factor @ (outputs * inputs))

    def choose(self, goal: float, merit: Callable[[Counts, Counts], Counts] | None) -> Counts:
        """(s,) how many channels of each set go until there are `goal` MACs; then blocks come back for which there is room.

        merit  importance of a block, MACs that it frees -> what is removed last; None takes equal shares of all
        """
        removed = np.zeros(len(self.count))
        order: list[int] = []
        while (now := self.macs(removed)) > goal:
            blocks = self._blocks(removed)
            possible = np.flatnonzero(blocks)
            if not len(possible):
                return removed
            freed = now - self._macs(removed[:, None] + np.diag(blocks)[:, possible])
            if merit is None:
                rank = (removed + blocks)[possible] / self.count[possible]
            else:
                lost = [self.cumulated[s][int(removed[s] + blocks[s])] - self.cumulated[s][int(removed[s])] for s in possible]
                rank = merit(np.array(lost), np.maximum(freed, 1))
            chosen = possible[int(np.argmin(rank))]
            removed[chosen] += blocks[chosen]
            order.append(int(chosen))
        for s in reversed(order):
            back = removed.copy()
            back[s] = self._before(s, removed[s])
            if self.macs(back) <= goal:
                removed = back
        return removed

    def _before(self, s: int, removed: float) -> float:
        """How many channels of a set were gone before the last block went."""
        return max(0.0, removed - self.round_to)

    def _blocks(self, removed: Counts) -> Counts:
        """(s,) channels of each set that can go next, at once; 0 where none can."""
        left = self.count - removed
        blocks = np.where(left % self.round_to, left % self.round_to, self.round_to)
        return np.where(removed + blocks <= self.most, blocks, 0.0)


def _remove(network: nn.Module, sets: Sequence[ChannelSet], gone: Sequence[npt.NDArray[np.int64]]) -> None:
    indices: dict[tuple[str, str], list[int]] = {}
    for channels, which in zip(sets, gone, strict=True):
        for place, at in channels.places.items():
            indices.setdefault(place, []).extend(at[which].flatten().tolist())
    layers = dict(network.named_modules())
    for (path, side), which in indices.items():
        if which:
            pruner = torch_pruning.pruner.function.PrunerBox[torch_pruning.ops.module2type(layers[path])]
            (pruner.prune_out_channels if side == "out" else pruner.prune_in_channels)(layers[path], which)


def _pixels(network: nn.Module, size: tuple[int, int]) -> dict[str, int]:
    """How often every convolution and linear layer applies each of its weights to an image of `size`."""
    shadow = copy.deepcopy(network).to("meta").eval()
    pixels: dict[str, int] = {}

    def note(path: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            at = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
            each = at.numel() // (at.shape[-1] if isinstance(layer, nn.Linear) else at.shape[1])
            pixels[path] = pixels.get(path, 0) + each

        return hook

    for path, layer in shadow.named_modules():
        if isinstance(layer, CONVOLUTIONS):
            layer.register_forward_hook(note(path))
    with torch.no_grad():
        shadow(torch.empty(1, 3, *size, device="meta"))
    return pixels


def _layers(network: nn.Module, pixels: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Path -> (channels written, MACs)."""
    layers = dict(network.named_modules())
    return {path: (_widths(layers[path])[0], each * layers[path].weight.numel()) for path, each in pixels.items()}  # type: ignore[operator,union-attr]


def _total(network: nn.Module, pixels: dict[str, int]) -> int:
    return sum(macs for _, macs in _layers(network, pixels).values())


def _widths(layer: nn.Module) -> tuple[int, int]:
    """(outputs, inputs); 1 input for what is depthwise, since no weight reads two."""
    if isinstance(layer, nn.Linear):
        return layer.out_features, layer.in_features
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    return layer.out_channels, layer.in_channels // layer.groups


def _least(count: int, floor: float, round_to: int) -> int:
    """Of `count` channels, how many stay in any case."""
    return min(count, max(round_to, round_to * math.ceil(floor * count / round_to)))


def _guarded(network: nn.Module, protected: Sequence[str]) -> set[str]:
    paths = [path for path, _ in network.named_modules() if path]
    guarded = set()
    for pattern in protected:
        hits = [p for p in paths if p == pattern or p.startswith(f"{pattern}.") or fnmatch.fnmatchcase(p, pattern)]
        if not hits:
            raise UsageError(f"no layer to protect is named {pattern!r}; there are {', '.join(paths[:4])}, ...")
        guarded.update(hits)
    return guarded


def _guard(channels: ChannelSet, guarded: set[str]) -> ChannelSet:
    if any(path in guarded for path, _ in channels.places):
        return dataclasses.replace(channels, fixed=torch.ones_like(channels.fixed))
    return channels


def _reason(channels: ChannelSet, guarded: set[str]) -> str:
    first = next((path for path, _ in channels.places if path in guarded), None)
    if first is not None:
        return "keeps its channels: it is protected" if first == channels.name else f"keeps its channels: {first} is protected"
    if channels.name == HEAD:
        return "keeps its channels: they are the logits"
    return "keeps its channels: its operators have no rule for removing them"
