"""ONNX files, by torch's exporter; an int8 one carries the same ranges as its TFLite twin."""

from __future__ import annotations

import onnx
import torch
from onnx import numpy_helper
from torch import fx, nn

from edgeseg.errors import ExportError
from edgeseg.export import qdq
from edgeseg.export.blame import blame
from edgeseg.export.quiet import quiet

OPSET = 18  # the oldest that torch's exporter writes; ONNX Runtime reads it since 1.14
INPUT, OUTPUT = "image", "logits"


def to_onnx(network: nn.Module, size: tuple[int, int]) -> onnx.ModelProto:
    """A float model: image (1, 3, h, w) -> logits (1, c, h', w'). ExportError where ONNX has no operator for something."""
    return tidy(_export(network, size, optimize=True))


def to_onnx_int8(graph: fx.GraphModule, size: tuple[int, int]) -> onnx.ModelProto:
    """A quantised model from what `edgeseg.compress.quantize.convert` gives: uint8 image and logits."""
    return tidy(share_constants(qdq.quantised(_export(graph, size, optimize=False))))


def _export(network: nn.Module, size: tuple[int, int], *, optimize: bool) -> onnx.ModelProto:
    try:
        with quiet():
            program = torch.onnx.export(
                network,
                (torch.zeros(1, 3, *size),),
                dynamo=True,
                opset_version=OPSET,
                optimize=optimize,
                verbose=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
        if program is None:
            raise ExportError("torch's ONNX exporter returned nothing")
        return program.model_proto
    except torch.onnx.errors.OnnxExporterError as error:
        reason = blame(error, network, size)
        raise ExportError(f"torch cannot write this network as ONNX: {reason}; replace it") from error


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what only a debugger of the exporter wants: stack traces on every node are larger than int8 weights."""
    model.producer_name = "edgeseg"
    del model.functions[:], model.graph.value_info[:], model.graph.metadata_props[:]
    model.graph.doc_string = ""
    names = {"": "", INPUT: INPUT, OUTPUT: OUTPUT}
    for index, tensor in enumerate(model.graph.initializer):
        names[tensor.name] = f"c{index}"
        del tensor.metadata_props[:]
        tensor.doc_string, tensor.name = "", names[tensor.name]
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for index, node in enumerate(model.graph.node):
        del node.metadata_props[:]
        plumbing = node.op_type in (qdq.QUANTISE, qdq.DEQUANTISE)  # fused away when loaded: their names are never seen
        node.doc_string, node.name = "", "" if plumbing else f"{node.op_type}_{index}"
        for i, name in enumerate(node.output):
            names.setdefault(name, f"v{index}.{i}" if i else f"v{index}")
        for end in (node.input, node.output):
            for i, name in enumerate(end):
                end[i] = names[name]
    onnx.checker.check_model(model)
    return model


def share_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store equal constants once."""
    first: dict[bytes, str] = {}
    renamed: dict[str, str] = {}
    kept = []
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        key = repr((array.dtype.str, array.shape)).encode() + array.tobytes()
        renamed[tensor.name] = first.setdefault(key, tensor.name)
        if first[key] == tensor.name:
            kept.append(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
    return model
