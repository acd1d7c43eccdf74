"""The Spec of a file that is about to be written: what it takes and gives, and where it comes from."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import edgeseg
from edgeseg.export.choices import Format, Precision
from edgeseg.export.lowering import End
from edgeseg.models.checkpoint import Model
from edgeseg.spec import Spec

PACKAGES = ("edgeseg", "torch", "torchao", "onnx", "onnxscript", "onnxruntime", "litert-torch", "ai-edge-litert")


def describe(model: Model, size: tuple[int, int], format: Format, precision: Precision, image: End, logits: End) -> Spec:
    """The Spec of `model` as a file of `format` at `size` with these ends."""
    card = model.card
    stride = model.network.output_stride
    return Spec(
        model=card.name or card.architecture,
        size=size,
        output_size=(size[0] // stride, size[1] // stride),
        layout="NHWC" if format == "tflite" else "NCHW",
        input_dtype=image.dtype,
        output_dtype=logits.dtype,
        output="logits",
        classes=card.classes,
        person_class=card.person_class,
        precision=precision,
        input_quantisation=image.quantisation,
        output_quantisation=logits.quantisation,
        params=sum(p.numel() for p in model.network.parameters()),
        macs=count_macs(model.network, size),
        accuracy=card.accuracy,
        data=card.data,
        licence=card.licence,
        revision=revision(),
        versions=versions(),
        weights_sha256=model.weights_sha256,
    )


@torch.no_grad()
def count_macs(network: nn.Module, size: tuple[int, int]) -> int:
    """Multiply-adds of one image, by torch's counter, which counts convolutions and matrix products (as 2 each)."""
    counter = FlopCounterMode(display=False)
    with counter:
        network(torch.zeros(1, 3, *size))
    return int(counter.get_total_flops()) // 2


def versions() -> dict[str, str]:
    """Of the packages that have a part in an exported file."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def revision() -> str:
    """The git revision of a source checkout, with a plus where it has local changes; empty for an installed package."""
    root = Path(edgeseg.__file__).parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        ask = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        return subprocess.run(ask, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
