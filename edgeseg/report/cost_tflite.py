"""What a TFLite file costs (`costs.py` says in which units), read from its operators; nothing is run.

A layer here is an operator. Its name is that of its weights, else of its output: files of `edgeseg export` carry the paths of
the network's layers there. Operators that change only a shape cost nothing and work in place.

`cost.py` says where these numbers differ from the torch network's, and why.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeseg.errors import ModelError
from edgeseg.report.costs import Cost, LayerCost, Step, peak
from edgeseg.runtime.tflite_schema import operator_name, parse, tensor_types

BITS = {
    **dict.fromkeys(("FLOAT32", "INT32", "UINT32"), 32),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("INT8", "UINT8", "BOOL", "FLOAT8_E4M3FN", "FLOAT8_E5M2"), 8),
    **dict.fromkeys(("FLOAT64", "INT64", "UINT64", "COMPLEX64"), 64),
    "COMPLEX128": 128,
    "INT4": 4,
    "UINT4": 4,
    "INT2": 2,
}
Shapes = list[tuple[int, ...]]


def _convolution(given: Shapes, made: Shapes) -> int:
    """Output pixels and channels x the kernel of one channel; weights are (out, h, w, in of its group)."""
    return math.prod(made[0]) * math.prod(given[1][1:])


def _depthwise(given: Shapes, made: Shapes) -> int:
    """Weights are (1, h, w, out)."""
    return math.prod(made[0]) * math.prod(given[1][1:3])


def _transposed(given: Shapes, made: Shapes) -> int:
    """Each input pixel meets the whole kernel; operands are (output shape, weights (out, h, w, in), input)."""
    return math.prod(given[2][:-1]) * math.prod(given[1])


def _fully_connected(given: Shapes, made: Shapes) -> int:
    """Weights are (out, in)."""
    return math.prod(made[0]) * given[1][-1]


def _matrices(given: Shapes, made: Shapes) -> int:
    """(..., m, k) or (..., k, m) by (..., k, n) or (..., n, k) gives (..., m, n)."""
    return math.prod(made[0]) * math.prod(given[0][-2:]) // max(1, made[0][-2])


FORMULAS: dict[str, Callable[[Shapes, Shapes], int]] = {
    "CONV_2D": _convolution,
    "CONV_3D": lambda given, made: math.prod(made[0]) * math.prod(given[1][:-1]),
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _matrices,
}
# They change a shape, not a byte.
VIEWS = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}
# They move or make data and compute nothing.
MOVES = VIEWS | {
    *("PAD", "PADV2", "MIRROR_PAD", "CONCATENATION", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "PACK"),
    *("UNPACK", "GATHER", "GATHER_ND", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"),
    *("BROADCAST_TO", "TILE", "SHAPE", "FILL", "RANGE"),
}
BIASED = {"CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
LEARNT = {"PRELU", "ADD", "MUL", "SUB", "DIV"}  # constants of theirs with a number a channel were learnt
INDICES = {"INT32", "INT64"}  # constants of these types are shapes and axes, but for a quantised bias


def count_tflite(path: Path) -> Cost:
    """Cost of a `.tflite` file at the size that it is made for. ModelError where it cannot be read."""
    try:
        model = parse(path.read_bytes())
    except OSError as error:
        raise ModelError(f"model {path} cannot be read ({error.strerror})") from None
    if not model.subgraphs:
        raise ModelError(f"{path} holds no graph; export it again")
    return _Counter(model).cost()


class _Counter:
    """The first subgraph, which is what an interpreter runs; those that WHILE and IF call are listed as uncounted."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.subgraphs[0]
        self.types = [tensor_types().get(t.type, "FLOAT32") for t in self.graph.tensors]
        self.shapes = [() if t.shape is None else tuple(int(n) for n in t.shape) for t in self.graph.tensors]
        buffers = [buffer.data is not None and len(buffer.data) > 0 for buffer in model.buffers]
        self.constant = [buffers[t.buffer] if t.buffer < len(buffers) else False for t in self.graph.tensors]

    def cost(self) -> Cost:
        layers, steps, uncounted = [], [], Counter[str]()
        alias: dict[int, int] = {}  # tensor -> the one whose memory it is
        unpacked: dict[int, int] = {}  # constant in float -> the float16 that is stored for it
        seen: Counter[str] = Counter()
        hungriest = 0
        for index, operator in enumerate(self.graph.operators):
            kind = operator_name(self.model, operator)
            inputs = [int(i) for i in (() if operator.inputs is None else operator.inputs)]
            given, made = [i for i in inputs if i >= 0], [int(i) for i in operator.outputs]
            if kind == "DEQUANTIZE" and self.constant[given[0]]:
                unpacked[made[0]] = given[0]  # done once, when the file is loaded
                continue
            weights = [unpacked.get(i, i) for i in given if self.constant[i] or i in unpacked]
            reads = [alias.get(i, i) for i in given if not self.constant[i] and i not in unpacked]
            if kind in VIEWS and reads:
                alias[made[0]] = reads[0]
                continue
            macs = self._macs(kind, inputs, made)
            if macs is None:
                uncounted[kind] += 1
            own = [i for i in weights if self._is_parameter(kind, i)]
            elements = sum(math.prod(self.shapes[i]) for i in own)
            name = self._name(kind, own, made, seen)
            layers.append(
                LayerCost(
                    name,
                    kind,
                    elements,
                    macs or 0,
                    sum(map(self._bytes, own)),
                    sum(map(self._bytes, {*reads})),
                    sum(map(self._bytes, made)),
                    "int8" if given and self.types[(reads or given)[0]] in ("INT8", "UINT8") else "float32",
                    index=index,
                )
            )
            steps.append(Step(name, tuple(reads), tuple(made)))
            hungriest = max(hungriest, sum(math.prod(self.shapes[i]) for i in {*reads, *made}))
        keys = {key for step in steps for key in (*step.reads, *step.writes)}
        ends = [alias.get(int(i), int(i)) for i in self.graph.outputs]
        most, where = peak(steps, {key: self._bytes(key) for key in keys}, [key for key in ends if key in keys])
        image = self.shapes[int(self.graph.inputs[0])]
        size = (image[1], image[2]) if len(image) == 4 else (1, math.prod(image))
        params = sum(layer.params for layer in layers)
        return Cost(size, params, sum(layer.macs for layer in layers), tuple(layers), hungriest, dict(uncounted), most, where)

    def _macs(self, kind: str, inputs: list[int], made: list[int]) -> int | None:
        """None where there is no formula."""
        if kind in MOVES:
            return 0
        formula = FORMULAS.get(kind)
        shapes = [self.shapes[i] if i >= 0 else () for i in inputs]
        return None if formula is None else formula(shapes, [self.shapes[i] for i in made])

    def _is_parameter(self, kind: str, index: int) -> bool:
        if kind in FORMULAS:
            return self.types[index] not in INDICES or (kind in BIASED and self._has_scale(index))
        shape = self.shapes[index]
        return kind in LEARNT and 1 < math.prod(shape) == max(shape)  # by channel: a plane is a mask

    def _has_scale(self, index: int) -> bool:
        """A bias of integers has one; a shape has none."""
        quantisation = self.graph.tensors[index].quantization
        return quantisation is not None and quantisation.scale is not None and len(quantisation.scale) > 0

    def _bytes(self, index: int) -> int:
        return -(-math.prod(self.shapes[index]) * BITS.get(self.types[index], 32) // 8)

    def _name(self, kind: str, own: list[int], made: list[int], seen: Counter[str]) -> str:
        named = own[0] if own and kind in FORMULAS else made[0]
        raw = self.graph.tensors[named].name or b""
        name = raw.decode(errors="replace").split(";")[0].replace("/", ".") or f"{kind.lower()}"
        seen[name] += 1
        return name if seen[name] == 1 else f"{name}:{seen[name]}"
