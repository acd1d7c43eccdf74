"""Pictures in memory and the batches that training makes of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from edgeseg.errors import DataError
from edgeseg.train.augment import camera, composite, view
from edgeseg.train.data import Frame, Mask, Pair, load
from edgeseg.train.losses import IGNORE
from edgeseg.train.task import Target
from edgeseg.train.truth import ClassIds, TruthFolder

Size = tuple[int, int]  # (height, width)


@dataclass(frozen=True)
class Sample:
    """A picture (h, w, 3) BGR with what is known of it: the person (h, w) 0..255, class ids (h, w) with 255 unknown."""

    frame: Frame
    mask: Mask | None = None
    ids: ClassIds | None = None


def from_pairs(pairs: Sequence[Pair], longest: int) -> list[Sample]:
    """Pictures with the person's mask."""
    return [Sample(*load(pair, longest)) for pair in pairs]


def from_labels(truth: TruthFolder, longest: int, person: int | None = None, *, leave_out: Sequence[str] = ()) -> list[Sample]:
    """Pictures with class ids, and where one class is the `person`, with the mask of that.

    leave_out  stems of held-back pictures; a labelled picture that is one of them, perhaps under a prefix, is skipped
    """
    samples = []
    for (picture, _), (frame, ids) in zip(truth.pairs, truth.load(), strict=True):
        if any(stem.endswith(picture.stem) for stem in leave_out):
            continue
        factor = min(1.0, longest / max(ids.shape))
        small = None if factor == 1 else (round(ids.shape[1] * factor), round(ids.shape[0] * factor))
        if small:
            frame = np.asarray(cv2.resize(frame, small, interpolation=cv2.INTER_AREA), np.uint8)
            ids = np.asarray(cv2.resize(ids, small, interpolation=cv2.INTER_NEAREST), np.uint8)
        mask = None if person is None else np.asarray((ids == person) * 255, np.uint8)
        samples.append(Sample(frame, mask, ids))
    if not samples:
        raise DataError("no labelled pictures are left to train on")
    return samples


@dataclass(frozen=True)
class Augmentation:
    """How pictures vary. `webcam` views a person in any framing and room; otherwise the scene's own view is kept nearly."""

    webcam: bool = True
    composite: float = 0.4  # share of the pictures with a mask alone that get another background
    company: float = 0.2  # share of those in which somebody of another picture stands behind


class Pictures:
    """Augmented samples, all decoded once and kept in memory."""

    def __init__(self, samples: Sequence[Sample], backgrounds: Sequence[Frame], augmentation: Augmentation, seed: int) -> None:
        self.samples, self.backgrounds = list(samples), list(backgrounds)
        self.augmentation, self.seed = augmentation, seed
        self.epoch = 0
        self._people = [i for i, s in enumerate(self.samples) if s.ids is None and s.mask is not None and s.mask.any()]

    def __len__(self) -> int:
        return len(self.samples)

    def make(self, index: int, size: Size) -> tuple[Tensor, Tensor, Tensor]:
        """image (3, h, w) RGB in 0..1, matte (1, h, w) negative where unknown, ids (h, w)."""
        rng = np.random.default_rng((self.seed, self.epoch, index))
        sample = self.samples[index]
        mask, how = sample.mask, self.augmentation
        ids: ClassIds | None = None
        matte: Mask | None
        if sample.ids is None and mask is not None and mask.any() and self.backgrounds and rng.random() < how.composite:
            background = self.backgrounds[rng.integers(len(self.backgrounds))]
            people = [(sample.frame, mask)]
            if rng.random() < how.company:
                other = self.samples[self._people[rng.integers(len(self._people))]]
                assert other.mask is not None
                people.insert(0, (other.frame, other.mask))
            frame, matte = composite(people, background, size, rng)
        else:
            frame, matte, ids = view(sample.frame, mask, size, rng, ids=sample.ids, calm=not how.webcam)
        image, known = to_tensors(camera(frame, rng), matte, ids)
        return image, known, torch.from_numpy(np.full(size, IGNORE, np.uint8) if ids is None else ids).long()

    def batches(self, sizes: Sequence[Size], batch: int) -> Iterator[tuple[Tensor, Target]]:
        """Full batches in random order, each of one of `sizes`. A thread makes the next ones while the network
        computes: OpenCV and NumPy let go of the interpreter, and unlike a forked worker it cannot inherit locks.
        """
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(len(self))
        batch = min(batch, len(self))
        pool = ThreadPoolExecutor(1)
        ahead: deque[Future[tuple[Tensor, Target]]] = deque()
        try:
            for start in range(0, len(self) - batch + 1, batch):
                size = sizes[int(rng.integers(len(sizes)))]
                ahead.append(pool.submit(self._batch, order[start : start + batch].tolist(), size))
                if len(ahead) > 3:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _batch(self, indices: list[int], size: Size) -> tuple[Tensor, Target]:
        images, mattes, ids = (torch.stack(parts) for parts in zip(*(self.make(i, size) for i in indices), strict=True))
        return images, Target(mattes, ids)


def to_tensors(frame: Frame, mask: Mask | None, ids: ClassIds | None = None) -> tuple[Tensor, Tensor]:
    """BGR frame and mask -> image (3, h, w) RGB and matte (1, h, w), float32 in 0..1; -1 where `ids` are unknown."""
    image = torch.from_numpy(np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1))).float() / 255
    matte = torch.full((1, *frame.shape[:2]), -1.0) if mask is None else torch.from_numpy(mask)[None].float() / 255
    if ids is not None:
        matte[0, torch.from_numpy(ids == IGNORE)] = -1.0
    return image, matte
