"""What an ONNX file costs (`costs.py` says in which units), read from its nodes after shape inference; nothing is run.

A layer here is a node. Its name is the node's: files of `edgeseg export` carry the paths of the network's layers there. What
runtimes fuse is fused: a QuantizeLinear or DequantizeLinear beside an operator says how that operator's tensors are stored, and
a normalisation or activation behind an operator writes that operator's result, where nothing else reads what it reads
(`fusing.py` says why). Nodes that change only a shape cost nothing. Needs the `onnx` package.

`cost.py` says where these numbers differ from the torch network's, and why.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from edgeseg.errors import MissingExtraError, ModelError
from edgeseg.report.costs import Cost, LayerCost, Step, peak

VIEWS = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"}
# They move or make data and compute nothing.
MOVES = VIEWS | {
    *("Pad", "Concat", "Transpose", "Slice", "Split", "Gather", "GatherND", "DepthToSpace", "SpaceToDepth", "Expand", "Tile"),
    *("Shape", "Constant", "ConstantOfShape", "Range"),
}
FOLDED = {
    *("BatchNormalization", "Relu", "Clip", "PRelu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Dropout"),
}
MULTIPLYING = {  # -> which input the weights are
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul", "ConvInteger", "MatMulInteger"), 1),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul"), 3),
}
LEARNT = {"BatchNormalization", "PRelu", "Add", "Mul", "Sub", "Div"}  # constants of theirs with a number a channel were learnt
QUANTISE, DEQUANTISE = "QuantizeLinear", "DequantizeLinear"
INTEGERS = {"INT8", "UINT8", "INT4", "UINT4"}
BITS = {
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("INT8", "UINT8", "BOOL"), 8),
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64"), 64),
    "INT4": 4,
    "UINT4": 4,
}


def count_onnx(path: Path) -> Cost:
    """Cost of an `.onnx` file with a batch of one. ModelError where it cannot be read, MissingExtraError without onnx."""
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError("onnx", "export", "counting the operators of an ONNX file") from None
    try:
        model = onnx.load(path)
        for value in model.graph.input:  # a free batch is one image
            for dim in value.type.tensor_type.shape.dim[:1]:
                if not dim.dim_value:
                    dim.dim_value = 1
        del model.graph.value_info[:]
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except OSError as error:
        raise ModelError(f"model {path} cannot be read ({error.strerror})") from None
    except (DecodeError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().partition("\n")[0][:160]
        raise ModelError(f"{path} is truncated or no valid ONNX model ({reason}); export or copy it again") from None
    return _Counter(inferred).cost()


class _Counter:
    def __init__(self, model: Any) -> None:
        from onnx import TensorProto

        self.graph = model.graph
        self.types: dict[str, str] = {}
        self.shapes: dict[str, tuple[int, ...] | None] = {}
        names = {code: name for name, code in TensorProto.DataType.items()}
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
            kind = value.type.tensor_type
            self.types[value.name] = names.get(kind.elem_type, "FLOAT")
            known = kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim)
            self.shapes[value.name] = tuple(d.dim_value for d in kind.shape.dim) if known else None
        self.constants = {t.name for t in model.graph.initializer}
        for tensor in model.graph.initializer:
            self.types[tensor.name], self.shapes[tensor.name] = names[tensor.data_type], tuple(tensor.dims)
        self.readers: dict[str, list[Any]] = {}
        for node in model.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.images = {value.name for value in model.graph.input}
        self.outputs = {value.name for value in model.graph.output}
        self.roots: dict[str, str] = {}  # value -> the one that it is, stored or shaped otherwise
        self.uses = Counter[str]()  # root -> nodes that work on it, and 1 where the graph gives it away
        for node in model.graph.node:
            if node.input and (self._is_storage(node) or node.op_type in VIEWS):
                self.roots |= dict.fromkeys(node.output, self._root(node.input[0]))
            else:
                self.uses.update({self._root(name) for name in node.input})
        self.uses.update({self._root(name) for name in self.outputs})

    def cost(self) -> Cost:
        layers: list[LayerCost] = []
        steps: list[Step] = []
        uncounted = Counter[str]()
        alias: dict[str, str] = {}  # value -> the one that is stored for it
        hungriest = 0
        for index, node in enumerate(self.graph.node):
            kind, name = node.op_type, node.name or f"{node.op_type}_{index}"
            given = [alias.get(i, i) for i in node.input if i]
            own = [i for i in given if i in self.constants]
            reads = [i for i in given if i not in self.constants]
            if self._is_storage(node) or (kind in VIEWS and reads) or (reads and self._folds(node)):
                alias |= dict.fromkeys(node.output, given[0])
                if kind in FOLDED:
                    uncounted[kind] += 1
                    learnt = own[:2]  # scale and shift, or slopes; a normalisation's statistics are not learnt
                    if kind in LEARNT and learnt:
                        layers.append(LayerCost(name, kind, sum(map(self._elements, learnt)), 0))
                continue
            if kind == "Constant" or (
                (kind in MOVES or kind == "Cast") and own and not reads
            ):  # done once, when the file is loaded
                self.constants.update(node.output)
                continue
            made = [self._stored(o) for o in node.output if o]
            alias |= {o: m for o, m in zip(node.output, made, strict=False) if o != m}
            macs = self._macs(node, given)
            if macs is None:
                uncounted[kind if self._is_known(node) else f"{kind} of unknown size"] += 1
            parameters = [i for i in own if self._is_parameter(node, i)][: 2 if kind == "BatchNormalization" else None]
            elements = sum(map(self._elements, parameters))
            operands = "int8" if reads and self.types.get(reads[0], "") in INTEGERS else "float32"
            moved = [sum(map(self._bytes, group)) for group in (parameters, {*reads}, made)]
            others = tuple(dict.fromkeys(n for o in node.output for n in self._chain(o)))
            layers.append(LayerCost(name, kind, elements, macs or 0, moved[0], moved[1], moved[2], operands, others))
            steps.append(Step(name, tuple(reads), tuple(made)))
            hungriest = max(hungriest, sum(map(self._elements, {*reads, *made})))
        keys = {key for step in steps for key in (*step.reads, *step.writes)}
        ends = [alias.get(o.name, o.name) for o in self.graph.output]
        most, where = peak(steps, {key: self._bytes(key) for key in keys}, [key for key in ends if key in keys])
        image = next(self.shapes[i.name] for i in self.graph.input if i.name not in self.constants) or ()
        size = (image[2], image[3]) if len(image) == 4 else (1, math.prod(image))
        params = sum(layer.params for layer in layers)
        return Cost(size, params, sum(layer.macs for layer in layers), tuple(layers), hungriest, dict(uncounted), most, where)

    def _is_storage(self, node: Any) -> bool:
        """Whether `node` says how its neighbours' tensors are stored, and is no work of its own."""
        if node.op_type == DEQUANTISE:
            return True
        given = node.input[0]
        return node.op_type == QUANTISE and len(self.readers.get(given, [])) == 1 and given not in self.images | self.outputs

    def _root(self, name: str) -> str:
        return self.roots.get(name, name)

    def _folds(self, node: Any) -> bool:
        """Whether `node` is done by the operator that gives its input, which nothing else reads."""
        root = self._root(node.input[0])
        return node.op_type in FOLDED and self.uses[root] == 1 and root not in self.images

    def _stored(self, name: str) -> str:
        """The value that an operator really writes when it gives `name`: what is behind activations and a QuantizeLinear."""
        return self._chain(name)[-1]

    def _chain(self, name: str) -> list[str]:
        """`name` and what becomes of it in the nodes that are fused into its operator."""
        chain = [name]
        while True:
            readers = self.readers.get(chain[-1], [])
            if len(readers) != 1 or readers[0].op_type not in FOLDED | {QUANTISE} or readers[0].input[0] != chain[-1]:
                return chain
            if chain[-1] in self.outputs:
                return chain
            chain.append(readers[0].output[0])

    def _macs(self, node: Any, given: list[str]) -> int | None:
        """None where there is no formula, or where a shape that it needs is unknown."""
        kind = node.op_type
        if kind in MOVES:
            return 0
        if kind not in MULTIPLYING or not self._is_known(node):
            return None
        first, second, out = (self.shapes[i] or () for i in (given[0], given[MULTIPLYING[kind]], node.output[0]))
        if "Conv" in kind and kind != "ConvTranspose":  # weights (out, in of a group, h, w)
            return math.prod(out) * math.prod(second[1:])
        if kind == "ConvTranspose":  # weights (in, out of a group, h, w): each input pixel meets the whole kernel
            return math.prod(first) * math.prod(second[1:])
        if kind == "Gemm":
            return math.prod(out) * math.prod(first) // max(1, out[0])
        return math.prod(out) * first[-1]

    def _is_known(self, node: Any) -> bool:
        return all(self.shapes.get(name) is not None for name in (*filter(None, node.input), *filter(None, node.output)))

    def _is_parameter(self, node: Any, name: str) -> bool:
        shape = self.shapes.get(name) or ()
        if node.op_type in MULTIPLYING:
            return bool(shape)
        return node.op_type in LEARNT and 1 < math.prod(shape) == max(shape)  # by channel: a plane is a mask

    def _elements(self, name: str) -> int:
        return math.prod(self.shapes.get(name) or (0,))

    def _bytes(self, name: str) -> int:
        return -(-self._elements(name) * BITS.get(self.types.get(name, "FLOAT"), 32) // 8)
