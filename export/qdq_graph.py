"""A quantised ONNX graph as the passes of `qdq` see it: nodes in order, constants as arrays, who makes and reads what."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, helper, numpy_helper

Array = npt.NDArray[Any]
QUANTISE, DEQUANTISE = "QuantizeLinear", "DequantizeLinear"
MOVING = {"Pad", "MaxPool", "Resize", "DepthToSpace", "SpaceToDepth", "Transpose", "Reshape", "Slice"}
# Operators that give what they take, stored or not, and which input that is.
CARRYING = {**dict.fromkeys(MOVING | {"Concat", "Split", "Max"}, 0), "Where": 1}


class Graph:
    """An ONNX graph with its constants as arrays, and who makes and reads each value."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.constants: dict[str, Array] = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.nodes: list[NodeProto] = list(model.graph.node)
        self.output = model.graph.output[0].name
        values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
        self.shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
        self.index()

    def index(self) -> None:
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def drop(self, gone: list[NodeProto]) -> None:
        """Take nodes out; whoever read the output of one reads its first input."""
        ids = {id(node) for node in gone}
        source = {node.output[0]: node.input[0] for node in gone}
        self.nodes = [node for node in self.nodes if id(node) not in ids]
        for node in self.nodes:
            for i, name in enumerate(node.input):
                while name in source:
                    name = source[name]
                node.input[i] = name
        self.index()

    def constant(self, name: str, value: Array) -> str:
        self.constants[name] = value
        return name

    def finish(self) -> onnx.ModelProto:
        """The model with what is still read: dead nodes and constants are left behind."""
        needed = {self.output}
        kept: list[NodeProto] = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        graph = self.model.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(reversed(kept))
        graph.initializer.extend(
            numpy_helper.from_array(np.ascontiguousarray(self.constants[name]).reshape(self.constants[name].shape), name)
            for name in sorted(needed)
            if name in self.constants
        )
        return self.model

    def is_integer(self, name: str) -> bool:
        """Whether the value `name` is an image or tensor as it is stored, not what it stands for."""
        maker = self.maker.get(name)
        if name in self.constants:
            return self.constants[name].dtype in (np.int8, np.uint8)
        if maker is None:
            value = self.model.graph.input[0]
            integers = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
            return name == value.name and value.type.tensor_type.elem_type in integers
        if maker.op_type in CARRYING:
            return self.is_integer(maker.input[CARRYING[maker.op_type]])
        return maker.op_type == QUANTISE


def same(graph: Graph, nodes: list[NodeProto | None]) -> bool:
    return len({parameters(graph, node) for node in nodes if node is not None}) == 1


def attribute_of(node: NodeProto, name: str) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)


def parameters(graph: Graph, node: NodeProto) -> tuple[float, int]:
    return float(graph.constants[node.input[1]].item()), int(graph.constants[node.input[2]].item())
