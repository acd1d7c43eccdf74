"""ONNX files, by torch's exporter; an int8 one carries the same ranges as its TFLite twin."""

from __future__ import annotations

import ast
import re
from collections import Counter

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import fx, nn

from edgeseg.errors import ExportError
from edgeseg.export import qdq
from edgeseg.export.blame import blame
from edgeseg.export.choices import OPSETS, Target
from edgeseg.export.qdq_graph import DEQUANTISE, QUANTISE
from edgeseg.export.quiet import quiet

INPUT, OUTPUT = "image", "logits"


def to_onnx(network: nn.Module, size: tuple[int, int], opset: int = OPSETS[0]) -> onnx.ModelProto:
    """A float model: image (1, 3, h, w) -> logits (1, c, h', w'). ExportError where ONNX has no operator for something."""
    return tidy(_export(network, size, opset, optimize=True))


def to_onnx_int8(
    graph: fx.GraphModule, size: tuple[int, int], target: Target = "x86", opset: int = OPSETS[0]
) -> onnx.ModelProto:
    """A quantised model from what `edgeseg.compress.quantize.convert` gives, for the hardware `target`."""
    return tidy(share_constants(qdq.quantised(_export(graph, size, opset, optimize=False), target)))


def free_batch(model: onnx.ModelProto) -> None:
    """Let `model` take and give any number of images, in place. ExportError where three at once differ from one by one."""
    import onnxruntime

    for end in (model.graph.input[0], model.graph.output[0]):
        end.type.tensor_type.shape.dim[0].dim_param = "n"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    image = model.graph.input[0].type.tensor_type
    shape = [3, *(d.dim_value for d in image.shape.dim[1:])]
    dtype = helper.tensor_dtype_to_np_dtype(image.elem_type)
    images = np.random.default_rng(0).uniform(0, 1 if dtype == np.float32 else 127, shape).astype(dtype)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        together = session.run(None, {INPUT: images})[0].astype(np.float32)
        alone = np.concatenate([session.run(None, {INPUT: images[i : i + 1]})[0] for i in range(3)]).astype(np.float32)
    except Exception as error:  # its exceptions share no public base but Exception
        reason = str(error).strip().partition("\n")[0][:200]
        raise ExportError(f"the network does not take several images at once: {reason}; leave out --dynamic-batch") from None
    if together.shape != alone.shape or not np.allclose(together, alone, atol=1e-3 * float(np.abs(alone).max())):
        raise ExportError("three images at once give other logits than one by one; leave out --dynamic-batch")


def _export(network: nn.Module, size: tuple[int, int], opset: int, *, optimize: bool) -> onnx.ModelProto:
    try:
        with quiet():
            program = torch.onnx.export(
                network,
                (torch.zeros(1, 3, *size),),
                dynamo=True,
                opset_version=opset,
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
    seen: Counter[str] = Counter()
    for index, node in enumerate(model.graph.node):
        plumbing = node.op_type in (QUANTISE, DEQUANTISE)  # fused away when loaded: their names are never seen
        layer = "" if plumbing else layer_of(node) or f"{node.op_type}_{index}"
        seen[layer] += 1
        node.doc_string, node.name = "", layer if seen[layer] == 1 or plumbing else f"{layer}:{seen[layer]}"
        del node.metadata_props[:]
        for i, name in enumerate(node.output):
            names.setdefault(name, f"v{index}.{i}" if i else f"v{index}")
        for end in (node.input, node.output):
            for i, name in enumerate(end):
                end[i] = names[name]
    onnx.checker.check_model(model)
    return model


def layer_of(node: onnx.NodeProto) -> str:
    """The layer of the network that the exporter made `node` of, named as `edgeseg.models.layer_names` does; empty if none.

    The exporter notes the modules from the network inwards, and the operator: ['', 'aspp', 'aspp.act', 'relu_8'].
    """
    notes = {entry.key: entry.value for entry in node.metadata_props}
    scopes = ast.literal_eval(notes.get("pkg.torch.onnx.name_scopes", "[]"))
    classes = ast.literal_eval(notes.get("pkg.torch.onnx.class_hierarchy", "[]"))
    if len(scopes) < 2 or len(classes) != len(scopes):
        return ""
    path, operator = str(scopes[-2]), re.sub(r"_?(_\d+)?$", "", str(scopes[-1]))
    if path and str(classes[-2]).startswith("torch.nn.modules."):
        return path
    return f"{path}.{operator}" if path else operator


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
