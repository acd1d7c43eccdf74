"""Proof that an exported file still gives what its network gives: it is run as its users will run it, on real pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from edgeseg.calib.frames import Picture
from edgeseg.calib.scores import class_ids, count, decibels, mean_iou, truth_at
from edgeseg.runtime.session import Session
from edgeseg.runtime.tensors import dequantise


@dataclass(frozen=True)
class Parity:
    """How a file compares to its network in float, over all pictures."""

    agreement: float  # share of the input's pixels that get the same class
    miou_delta: float  # mIoU against the truth, file minus network; without truth: mIoU against the network, minus 1
    sqnr_db: float  # signal to quantisation noise of the logits
    max_abs_error: float  # of the logits
    images: int
    reference: Literal["masks", "float"]  # what `miou_delta` was measured against


@torch.no_grad()
def compare(session: Session, network: nn.Module, pictures: Iterable[Picture]) -> Parity:
    """Run the file in `session` and the float `network` it was made from on the same tensors.

    Classes are compared at the size of the input, to which the logits are enlarged as the runtime enlarges them.
    """
    spec = session.spec
    classes = max(2, len(spec.classes))
    of_file, of_network, between = (np.zeros((classes, classes), np.int64) for _ in range(3))
    same = pixels = images = 0
    signal = noise = worst = 0.0
    has_truth = True
    for picture in pictures:
        tensor = session.prepare(picture.frame)
        image = torch.from_numpy(dequantise(tensor, spec.input_quantisation))
        image = image.permute(0, 3, 1, 2) if spec.layout == "NHWC" else image
        expected = network(image)[0].permute(1, 2, 0).numpy()  # (h', w', c)
        got = session.decode(session.run(tensor))
        error = got.astype(np.float64) - expected
        signal += float((expected.astype(np.float64) ** 2).sum())
        noise += float((error**2).sum())
        worst = max(worst, float(np.abs(error).max()))
        want, have = (class_ids(logits, spec.size) for logits in (expected, got))
        same += int((want == have).sum())
        pixels += want.size
        images += 1
        count(between, want, have)
        has_truth &= picture.truth is not None
        if picture.truth is not None:
            truth = truth_at(picture.truth, spec.size)
            count(of_network, truth, want)
            count(of_file, truth, have)
    delta = mean_iou(of_file) - mean_iou(of_network) if has_truth else mean_iou(between) - 1
    return Parity(same / pixels, delta, decibels(signal, noise), worst, images, "masks" if has_truth else "float")
