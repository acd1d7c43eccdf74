"""TFLite files, by litert-torch. The image and the logits are channels-last there, as every TFLite kernel wants them."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from edgeseg.errors import ExportError, MissingExtraError
from edgeseg.export.blame import blame
from edgeseg.export.quiet import quiet
from edgeseg.export.tflite_file import pack


def to_tflite(network: nn.Module, size: tuple[int, int], *, int8: bool) -> bytes:
    """The flatbuffer of a channels-last network: (1, h, w, 3) -> (1, h', w', c).

    int8  `network` is the graph that `edgeseg.compress.quantize.convert` gives; image and logits are int8 then

    Raises ExportError where LiteRT has no operator for something in the network.
    """
    try:
        with quiet():
            import litert_torch
            from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
            from litert_torch.quantize.quant_config import QuantConfig
    except ImportError as error:
        raise MissingExtraError(error.name or "litert-torch", "export", "writing TFLite files") from None
    # Its quantizer is not used: the configuration only tells the converter that the ranges are in the graph.
    static = QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(get_symmetric_quantization_config())) if int8 else None
    try:
        with quiet():
            converted = litert_torch.convert(network, (torch.zeros(1, *size, 3),), quant_config=static)
            data = cast(bytes, converted.model_content())
    except OSError:  # a full disk says nothing of the network
        raise
    except Exception as error:  # the converter raises whatever its parts raise
        reason = blame(error, network, size)
        raise ExportError(f"LiteRT cannot take this network: {reason}; replace it, or export with --format onnx") from error
    return pack(data)
