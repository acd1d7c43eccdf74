"""One network, in float or with its ranges, to the bytes of one model file and the types at its ends."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx, nn

from edgeseg.export.choices import Choices, Format, Target
from edgeseg.export.graphs import copied
from edgeseg.export.rewrites import rewrite
from edgeseg.spec import Dtype, Quantisation

SIGNED_TO_UNSIGNED = 128
TARGET_DTYPES: dict[Target, Dtype] = {"x86": "uint8", "arm": "int8", "tensorrt": "float32"}


@dataclass(frozen=True)
class End:
    """The type of an image or of logits, and how it is quantised where it is of integers."""

    dtype: Dtype = "float32"
    quantisation: Quantisation | None = None


@dataclass(frozen=True)
class Lowered:
    """The content of a model file that lacks its Spec."""

    data: bytes
    image: End = End()
    logits: End = End()


def lower(network: nn.Module, graph: fx.GraphModule | None, size: tuple[int, int], format: Format, choices: Choices) -> Lowered:
    """`network` as a file of `format`; with its converted `graph`, in int8. Neither is changed. Raises ExportError."""
    data = (_tflite if format == "tflite" else _onnx)(network, graph, size, choices)
    if graph is None:
        return Lowered(data)
    from edgeseg.compress.quantize import ends

    dtype = choices.io if format == "tflite" else TARGET_DTYPES[choices.target]
    return Lowered(data, *(_end(dtype, *signed) for signed in ends(graph)))


def _tflite(network: nn.Module, graph: fx.GraphModule | None, size: tuple[int, int], choices: Choices) -> bytes:
    from edgeseg.export import tflite_file
    from edgeseg.export.channels_last import channels_last
    from edgeseg.export.masks import arithmetic_masks
    from edgeseg.export.to_tflite import to_tflite

    if graph is None:
        data = to_tflite(channels_last(rewrite(network), size), size, int8=False)
        return tflite_file.half_weights(data) if choices.precision == "float16" else data
    data = to_tflite(channels_last(arithmetic_masks(copied(graph)), size), size, int8=True)
    return data if choices.io == "int8" else tflite_file.retype_ends(data, choices.io)


def _onnx(network: nn.Module, graph: fx.GraphModule | None, size: tuple[int, int], choices: Choices) -> bytes:
    from edgeseg.export import onnx_float16, onnx_patterns, to_onnx

    if graph is not None:
        model = to_onnx.to_onnx_int8(graph, size, choices.target, choices.opset)
    else:
        model = to_onnx.to_onnx(rewrite(network), size, choices.opset)
        if choices.precision == "float16":
            onnx_float16.halve(model)
    if choices.dynamic_batch:
        to_onnx.free_batch(model)
    if choices.target != "tensorrt":
        onnx_patterns.share_patterns(model)
    return bytes(model.SerializeToString(deterministic=True))


def _end(dtype: Dtype, scale: float, zero_point: int) -> End:
    """An end of type `dtype` with the values of int8 (scale, zero point)."""
    if dtype == "float32":
        return End()
    return End(dtype, Quantisation(scale, zero_point + (SIGNED_TO_UNSIGNED if dtype == "uint8" else 0)))
