"""Where the time of a model file goes, kernel by kernel, as its runtime tells it; and which layer each kernel works for.

A runtime is slower while it is profiled: read the shares, not the sum.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeseg.report.costs import LayerCost


@dataclass(frozen=True)
class Kernel:
    """One kernel that a runtime executes, in the order of execution."""

    kind: str  # as "QLinearConv" or "Convolution (NHWC, QC8) IGEMM"
    ms: float  # of one inference
    name: str = ""  # of the node that it executes, where the runtime keeps names
    dtype: str = "?"
    index: int | None = None  # of the file's operator that it executes, where the runtime tells


@dataclass(frozen=True)
class LayerTimes:
    """What `assign` found."""

    ms: dict[str, float]  # layer -> time of its kernels
    other: dict[str, float]  # kind of kernel -> time of those that belong to no layer of the file

    @property
    def total_ms(self) -> float:
        return sum(self.ms.values()) + sum(self.other.values())


def by_operator(kernels: Sequence[Kernel]) -> list[dict[str, Any]]:
    """Rows {"op", "dtype", "nodes", "ms", "share"}, the most expensive first.

    op, dtype  as the runtime names them after its optimisations
    nodes      so many in the graph
    ms         of one inference, with profiling
    share      of the sum of all, 0..1
    """
    sums: dict[tuple[str, str], list[float]] = defaultdict(list)
    for kernel in kernels:
        sums[kernel.kind, kernel.dtype].append(kernel.ms)
    whole = sum(map(sum, sums.values())) or 1.0
    rows = [
        {"op": op, "dtype": dtype, "nodes": len(ms), "ms": round(sum(ms), 4), "share": round(sum(ms) / whole, 4)}
        for (op, dtype), ms in sums.items()
    ]
    return sorted(rows, key=lambda row: -float(str(row["ms"])))


def assign(kernels: Sequence[Kernel], layers: Sequence[LayerCost]) -> LayerTimes:
    """The time of each of a file's layers: by names where the kernels have any, else by their order."""
    if any(kernel.name for kernel in kernels):
        return _by_name(kernels, layers)
    return _by_order(kernels, layers)


# What ONNX Runtime appends to the name of a node that it has rewritten: conv_token_4, v1_nchwc.
REWRITTEN = re.compile(r"(_token_\d+|_nchwc|_nhwc|_quant|_fused|_transformed)+$")


def _by_name(kernels: Sequence[Kernel], layers: Sequence[LayerCost]) -> LayerTimes:
    owner: dict[str, str] = {}
    for layer in layers:
        for name in (layer.name, *layer.aliases):
            owner.setdefault(name, layer.name)
    found = LayerTimes({}, {})
    for kernel in kernels:
        layer_name = owner.get(kernel.name) or owner.get(REWRITTEN.sub("", kernel.name))
        target, key = (found.other, kernel.kind) if layer_name is None else (found.ms, layer_name)
        target[key] = target.get(key, 0.0) + kernel.ms
    return found


# What XNNPACK makes of an operator: beginnings of its kernels' names, the first of which is its proper work.
MADE_OF: Mapping[str, tuple[str, ...]] = {
    "CONV_2D": ("Convolution", "Fully Connected"),
    "DEPTHWISE_CONV_2D": ("Convolution",),
    "TRANSPOSE_CONV": ("Deconvolution",),
    "FULLY_CONNECTED": ("Fully Connected",),
    "BATCH_MATMUL": ("Batch Matrix Multiply", "Fully Connected", "Dynamic"),
    "ADD": ("Add",),
    "SUB": ("Subtract",),
    "MUL": ("Multiply",),
    "DIV": ("Divide",),
    "MAXIMUM": ("Maximum",),
    "MINIMUM": ("Minimum",),
    "MAX_POOL_2D": ("Max Pooling",),
    "AVERAGE_POOL_2D": ("Average Pooling", "Global Average Pooling"),
    "MEAN": ("Mean", "Global Average Pooling"),
    "RESIZE_BILINEAR": ("Resize Bilinear",),
    "CONCATENATION": ("Copy", "Concatenate"),
    "RESHAPE": ("Static Reshape", "Copy"),
    "PAD": ("Constant Pad",),
    "PADV2": ("Constant Pad",),
    "TRANSPOSE": ("Transpose",),
    "DEPTH_TO_SPACE": ("Depth To Space",),
    "SPACE_TO_DEPTH": ("Space To Depth",),
    "SPLIT": ("Copy", "Slice"),
    "SLICE": ("Slice", "Copy"),
    "STRIDED_SLICE": ("Slice", "Copy"),
    "QUANTIZE": ("Convert",),
    "DEQUANTIZE": ("Convert",),
    "LOGISTIC": ("Sigmoid",),
    "TANH": ("Tanh",),
    "SOFTMAX": ("Softmax",),
    "PRELU": ("Leaky ReLU", "PReLU"),
    "LEAKY_RELU": ("Leaky ReLU",),
    "HARD_SWISH": ("HardSwish",),
}
AFTERWARDS = ("Clamp", "Invalid Unary", "Copy", "Convert")  # what may follow any operator: its activation, its result elsewhere
FUSED = {"PAD", "RESHAPE"}  # operators that leave no kernel where XNNPACK does them inside another
LEAVE_KERNEL, LEAVE_OPERATOR, LEAVE_FUSED, FOLLOW = 2.0, 1.0, 0.1, 0.05


def _by_order(kernels: Sequence[Kernel], layers: Sequence[LayerCost]) -> LayerTimes:
    """XNNPACK executes operators in the file's order, each as one kernel or a few, and some inside others.

    The cheapest way to go through both lists together is taken, where it costs something to leave a kernel or an operator
    alone (an alignment as of Needleman & Wunsch 1970). Kernels that the interpreter runs itself say which operator they are.
    """
    times = LayerTimes({}, {})
    layer_of = {i if layer.index is None else layer.index: layer.name for i, layer in enumerate(layers)}
    taken = set()
    for kernel in kernels:
        if kernel.index is None:
            continue
        if kernel.index in layer_of:
            taken.add(layer_of[kernel.index])
            target, key = times.ms, layer_of[kernel.index]
        else:
            target, key = times.other, kernel.kind
        target[key] = target.get(key, 0.0) + kernel.ms
    free = [layer for layer in layers if layer.name not in taken]
    delegated = [kernel for kernel in kernels if kernel.index is None]
    for j, i in _aligned([layer.kind for layer in free], [kernel.kind for kernel in delegated]).items():
        target, key = (times.other, delegated[j].kind) if i is None else (times.ms, free[i].name)
        target[key] = target.get(key, 0.0) + delegated[j].ms
    return times


def _aligned(operators: Sequence[str], kernels: Sequence[str]) -> dict[int, int | None]:
    """Index of each kernel -> index of its operator, or None."""
    width = len(kernels) + 1
    infinite = float("inf")
    # cost[i][j][has]: kernels before j are placed, operator i is the present one and has a kernel of its own or not
    cost = [[[infinite, infinite] for _ in range(width)] for _ in range(len(operators) + 1)]
    came: dict[tuple[int, int, int], tuple[tuple[int, int, int], bool]] = {}  # state -> (state before, was a kernel placed?)
    cost[0][0][0] = 0.0

    def offer(state: tuple[int, int, int], value: float, before: tuple[int, int, int], placed: bool) -> None:
        i, j, has = state
        if value < cost[i][j][has]:
            cost[i][j][has] = value
            came[state] = (before, placed)

    for i in range(len(operators) + 1):
        for j in range(width):
            for has in (0, 1):
                now = cost[i][j][has]
                if now == infinite:
                    continue
                here = (i, j, has)
                if i < len(operators):
                    alone = 0.0 if has else LEAVE_FUSED if operators[i] in FUSED else LEAVE_OPERATOR
                    offer((i + 1, j, 0), now + alone, here, False)
                    if j < len(kernels):
                        if not has and kernels[j].startswith(MADE_OF.get(operators[i], (operators[i].title(),))):
                            offer((i, j + 1, 1), now, here, True)
                        elif has and kernels[j].startswith((*AFTERWARDS, *MADE_OF.get(operators[i], ())[1:])):
                            offer((i, j + 1, 1), now + FOLLOW, here, True)
                if j < len(kernels):
                    offer((i, j + 1, has), now + LEAVE_KERNEL, here, False)
    state = (len(operators), len(kernels), 0)
    owner: dict[int, int | None] = dict.fromkeys(range(len(kernels)))
    while state in came:
        before, placed = came[state]
        if placed:
            owner[before[1]] = before[0]
        state = before
    return owner
