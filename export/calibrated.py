"""A network's int8 graph, from which both formats are lowered: rewritten, prepared, calibrated, converted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor, fx, nn

from edgeseg.calib.frames import Picture, Pictures
from edgeseg.export.quiet import quiet
from edgeseg.export.rewrites import rewrite
from edgeseg.runtime.tensors import shrink

if TYPE_CHECKING:
    from edgeseg.calib.calibrate import Calibration

CLIPPING_PICTURES = 16  # of those for parity, to see what the ranges clip


@dataclass(frozen=True)
class CalibrationOptions:
    """How ranges are found."""

    observer: str = "auto"  # or a key of `edgeseg.calib.observers.OBSERVERS`
    corrections: bool = True  # try cross-layer equalisation and bias correction
    cache: Path | None = None  # folder of ranges found before (`edgeseg.calib.cache.default_folder`)
    progress: Callable[[str, float], None] = lambda what, share: None  # what is done, share of all
    symmetric: bool = False  # every zero point is 0, as TensorRT wants it


@torch.no_grad()
def calibrated(
    network: nn.Module,
    pictures: Pictures,
    size: tuple[int, int],
    options: CalibrationOptions,
    keep_float: Sequence[str] = (),
) -> tuple[fx.GraphModule, Calibration]:
    """The graph of `network` on (1, 3, h, w) with int8 ranges, and how they were chosen.

    keep_float  layers (names or globs) whose results stay in float
    """
    with quiet():  # imports and tracing talk; nothing of ours is printed inside
        from edgeseg.calib import suitability
        from edgeseg.calib.calibrate import calibrate
        from edgeseg.calib.observers import MinMax
        from edgeseg.compress import quantize

        prepared = quantize.prepare(rewrite(network), size, MinMax, keep_float, symmetric=options.symmetric)
    images = images_of(pictures.calibration, size)
    found = calibrate(
        prepared,
        images,
        observer=options.observer,
        corrections=options.corrections,
        folder=options.cache,
        progress=options.progress,
    )
    warnings = suitability.of_number(len(images))
    warnings += suitability.of_shift(suitability.training_shift(network, images))
    others = images_of(pictures.parity[:: max(1, len(pictures.parity) // CLIPPING_PICTURES)], size)
    clipped = suitability.clipped(prepared, others) if others else None
    if clipped is not None:
        warnings += suitability.of_clipping(clipped)
    with quiet():
        graph = quantize.convert(prepared)
    return graph, dataclasses.replace(found, clipped=clipped, warnings=tuple(warnings))


@torch.no_grad()
def with_ranges(
    network: nn.Module, size: tuple[int, int], ranges: Mapping[str, tuple[float, int]], *, symmetric: bool = False
) -> fx.GraphModule:
    """The graph of `network` with ranges that were trained: (scale, zero point) by name, `edgeseg.compress.ranges`."""
    with quiet():
        from edgeseg.compress import quantize
        from edgeseg.compress.ranges import Fixed, apply_ranges, symmetrised

        prepared = quantize.prepare(rewrite(network), size, Fixed, symmetric=symmetric)
        apply_ranges(prepared, symmetrised(ranges) if symmetric else ranges)
        return quantize.convert(prepared)


def spoken(found: Calibration) -> list[str]:
    """Lines for whoever waits: what was tried, and what is wrong with the pictures."""
    from edgeseg.calib.calibrate import table

    notes = [f"note: {found.note}"] if found.note else []
    return [*notes, *table(found), *(f"warning: {warning}" for warning in found.warnings)]


def images_of(pictures: Sequence[Picture], size: tuple[int, int]) -> list[Tensor]:
    """(1, 3, h, w) float32 RGB in 0..1 each, shrunk as the runtime shrinks a frame."""
    made = []
    for picture in pictures:
        rgb = cv2.cvtColor(shrink(picture.frame, size), cv2.COLOR_BGR2RGB)
        made.append(torch.from_numpy(rgb.astype(np.float32).transpose(2, 0, 1)[None] / 255).contiguous())
    return made
