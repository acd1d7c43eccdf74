"""What a torch network costs (`costs.py` says in which units): parameters, MACs and memory, per layer and in sum.

The counter is PyTorch's own, a dictionary from operator to formula over the shapes of its arguments
(`torch.utils.flop_counter.flop_registry`); networks run on the meta device, so that nothing is computed. A transposed
convolution multiplies each of its input pixels with the whole kernel, and is counted so.

Bytes are of float32. Normalisation and activations are folded by every export into what gives their input: they move nothing
and need no memory of their own here, unless something else reads that input too (`fusing.py`). Views are free.

Where a file of the same network says something else (`cost_tflite.py`, `cost_onnx.py`):

    parameters   batch norms are folded into a bias, one number a channel in place of two
    MACs         an export rewrites a stride-2 transposed convolution as a convolution to four times the channels and
                 depth-to-space: the same for a 2x2 kernel, 4 times as many for 3x3 (with zero taps), 2.25 times for 4x4
    operators    max-unpooling, pixel shuffles and enlargements become other operators, none of which multiplies and adds
    memory       a padding or a shuffle that torch does inside an operator is a step of its own, with a tensor of its own

Where other counters say something else, of three of the models that ship (fvcore 0.1.5, ptflops, thop): the convolutions of
fvcore are these figures to the last MAC, transposed ones included; it adds normalisation (3.2 % of the 471 MMAC of
enet-person), nearest enlargement (0.3 %) and pooling. ptflops counts each activation, addition and pooling as well (7 %).
thop does too, and counts a transposed convolution by its output, as if every tap met a pixel (9 to 15 %).

Limitations. Only convolutions and matrix products are multiply-adds in this sense. Pooling, resizing, additions and
normalisation are not; `Cost.uncounted` lists each with its number of calls, so that nothing is dropped in silence. Biases are
not counted. And MACs do not rank latency: depthwise convolutions and resizing are bound by memory, so measure
(`edgeseg bench`).
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from edgeseg.report.costs import Cost, LayerCost, Step, peak
from edgeseg.report.fusing import Call, fuse

aten = torch.ops.aten
VIEWS = {
    aten.view,
    aten._unsafe_view,
    aten.t,
    aten.transpose,
    aten.permute,
    aten.expand,
    aten.slice,
    aten.select,
    aten.split,
    aten.split_with_sizes,
    aten.squeeze,
    aten.unsqueeze,
    aten.detach,
    aten.alias,
    aten.lift_fresh,
}
# They move, view or make data and compute nothing; all others without a formula are listed as uncounted.
MOVES = VIEWS | {
    aten.empty,
    aten.clone,
    aten._to_copy,
    aten.repeat,
    aten.cat,
    aten.stack,
    aten.constant_pad_nd,
    aten.pixel_shuffle,
}
# An export folds these into what gives their first input, where they alone read it.
FOLDED = {
    aten.native_batch_norm,
    aten._native_batch_norm_legit_no_training,
    aten.cudnn_batch_norm,
    aten.relu,
    aten.relu_,
    aten.hardtanh,
    aten.hardtanh_,
    aten.clamp,
    aten.clamp_,
    aten._prelu_kernel,
    aten.leaky_relu,
    aten.leaky_relu_,
    aten.silu,
    aten.silu_,
    aten.hardswish,
    aten.hardswish_,
    aten.sigmoid,
    aten.dropout,
}

Formula = Callable[..., int]  # shapes of the arguments, and `out_shape` by keyword -> MACs


def count(network: nn.Module, size: tuple[int, int], channels: int = 3, formulas: Mapping[Any, Formula] | None = None) -> Cost:
    """Cost of `network` in evaluation mode on an input (1, channels, height, width). The network is left as it was.

    formulas  for operators that PyTorch has none for, such as {torch.ops.mylib.my_conv: formula}
    """
    shadow = copy.deepcopy(network).to("meta").eval()
    own = {operator: _flops(formula) for operator, formula in (formulas or {}).items()}
    counter = FlopCounterMode(display=False, custom_mapping=own)
    watch = _Watch(shadow, counter)
    image = torch.empty(1, channels, *size, device="meta")
    watch.sizes[watch.key(image)] = _bytes(image)
    with torch.no_grad(), counter, watch:
        out = shadow(image)
    calls, sizes, ends = fuse(watch.calls, watch.sizes, [watch.key(x) for x in tree_leaves(out) if isinstance(x, Tensor)])
    steps = [Step(call.module.removeprefix(f"{watch.root}."), call.reads, call.writes) for call in calls]
    most, where = peak(steps, sizes, ends)
    return Cost(
        size=size,
        params=sum(p.numel() for p in network.parameters()),
        macs=counter.get_total_flops() // 2,
        layers=tuple(_layers(shadow, watch, calls)),
        activations=watch.activations,
        uncounted=dict(watch.uncounted),
        peak_bytes=most,
        peak_layer=where,
    )


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operator: those that have no formula, what they read and write, and in which module."""

    def __init__(self, network: nn.Module, counter: FlopCounterMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights = {id(tensor) for tensor in [*network.parameters(), *network.buffers()]}
        self.known: Collection[Any] = counter.flop_registry.keys() | MOVES
        self.root = type(network).__name__
        self.counter = counter
        self.activations = 0
        self.uncounted: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.sizes: dict[int, int] = {}
        self.macs: Counter[str] = Counter()  # by module
        self._kept: list[Any] = []  # so that no storage takes the place of another

    def key(self, tensor: Tensor) -> int:
        """Of the memory that `tensor` lies in; views share it."""
        storage = tensor.untyped_storage()
        self._kept.append(storage)
        return int(storage._cdata)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = func._overloadpacket
        before = self.counter.get_total_flops()
        out = func(*args, **(kwargs or {}))
        # `parents` is a set of paths from the root inwards: the longest is the module whose code is running.
        module = max((p for p in self.counter.mod_tracker.parents if p != "Global"), key=len, default=self.root)
        self.macs[module] += (self.counter.get_total_flops() - before) // 2
        if packet not in self.known:
            self.uncounted[packet.__name__] += 1
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        made = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        activations = [x for x in given if id(x) not in self.weights]
        elements = {id(x): x.numel() for x in [*activations, *made]}
        self.activations = max(self.activations, sum(elements.values()))
        if packet not in VIEWS:
            folds = packet in FOLDED and bool(activations)
            # Behind a folded operator's first result are statistics, which only training reads.
            self._note(module, given, activations, made[:1] if folds else made, folds)
        elif given and id(given[0]) in self.weights:  # a view of a weight is one too
            self.weights.update(id(x) for x in made)
        self._kept += made
        return out

    def _note(self, module: str, given: list[Tensor], activations: list[Tensor], made: list[Tensor], folds: bool) -> None:
        reads = {self.key(x): _bytes(x) for x in activations if self.key(x) in self.sizes}  # others are constants
        writes = {self.key(x): _bytes(x) for x in made}
        for key, size in (reads | writes).items():
            self.sizes[key] = max(self.sizes.get(key, 0), size)
        weights = sum(_bytes(x) for x in given if id(x) in self.weights)
        moved = (weights, sum(reads.values()), sum(writes.values()))
        self.calls.append(Call(module, tuple(reads), tuple(writes), moved, folds))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _layers(network: nn.Module, watch: _Watch, calls: Iterable[Call]) -> Iterator[LayerCost]:
    """What each module costs beyond its children."""
    moved: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])  # module -> bytes of weights, read, written
    for call in calls:
        moved[call.module] = [a + b for a, b in zip(moved[call.module], call.moved, strict=True)]
    for name, module in network.named_modules():
        path = f"{watch.root}.{name}" if name else watch.root
        params = sum(p.numel() for p in module.parameters(recurse=False))
        weights, read, written = moved.get(path, (0, 0, 0))
        if params or watch.macs[path] or read or written:
            kind = type(module).__name__
            yield LayerCost(name or watch.root, kind, params, watch.macs[path], weights, read, written, "float32")


def _flops(formula: Formula) -> Formula:
    def doubled(*args: Any, **kwargs: Any) -> int:
        return 2 * formula(*args, **kwargs)

    return doubled
