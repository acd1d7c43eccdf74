"""Proof that an exported file still gives what its network gives: it is run as its users will run it, on real pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgeseg.calib.frames import VOID, Picture
from edgeseg.runtime.session import Session
from edgeseg.runtime.tensors import dequantise

Ids = npt.NDArray[np.int32]
EQUAL_DB = 200.0  # what is said of the noise of a file whose logits are the network's, bit for bit


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
            truth = cv2.resize(picture.truth, spec.size[::-1], interpolation=cv2.INTER_NEAREST).astype(np.int32)
            count(of_network, truth, want)
            count(of_file, truth, have)
    delta = mean_iou(of_file) - mean_iou(of_network) if has_truth else mean_iou(between) - 1
    sqnr = 10 * math.log10(signal / noise) if noise and signal else EQUAL_DB if not noise else -EQUAL_DB
    return Parity(same / pixels, delta, min(sqnr, EQUAL_DB), worst, images, "masks" if has_truth else "float")


def class_ids(logits: npt.NDArray[np.float32], size: tuple[int, int]) -> Ids:
    """(h', w', c) logits -> (h, w) class ids, enlarged first; one channel is the logit of class 1."""
    large = cv2.resize(logits, size[::-1], interpolation=cv2.INTER_LINEAR).reshape(*size, logits.shape[2])
    return (large[..., 0] > 0).astype(np.int32) if logits.shape[2] == 1 else large.argmax(axis=2).astype(np.int32)


def count(confusion: npt.NDArray[np.int64], truth: Ids, ids: Ids) -> None:
    """Add (truth, prediction) pairs to a (classes, classes) matrix; void and unknown ids are left out."""
    classes = len(confusion)
    known = (truth != VOID) & (truth < classes)
    confusion += np.bincount(truth[known] * classes + ids[known], minlength=classes * classes).reshape(classes, classes)


def mean_iou(confusion: npt.NDArray[np.int64]) -> float:
    """Over the classes that occur in truth or prediction."""
    hit = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hit
    return float((hit[union > 0] / union[union > 0]).mean()) if union.any() else 1.0
