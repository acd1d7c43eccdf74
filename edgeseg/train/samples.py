"""Pictures in memory and the batches that training makes of them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from edgeseg.errors import DataError
from edgeseg.train.augment import camera, view
from edgeseg.train.composite import composite
from edgeseg.train.data import Frame, Mask, Pair, load, load_all
from edgeseg.train.losses import IGNORE
from edgeseg.train.shares import draws, factors, least
from edgeseg.train.task import Target
from edgeseg.train.truth import ClassIds, TruthFolder

Size = tuple[int, int]  # (height, width)
PEOPLED = "scenes with people"
CAMERA = 0.15  # share of the scenes of one camera that are seen through others as well


@dataclass(frozen=True)
class Sample:
    """A picture (h, w, 3) BGR with what is known of it: the person (h, w) 0..255, class ids (h, w) with 255 unknown.

    origins  names under which a share can be given to it: its source, its data folder, and PEOPLED for a labelled scene
             with somebody in it
    """

    frame: Frame
    mask: Mask | None = None
    ids: ClassIds | None = None
    origins: tuple[str, ...] = ()


def from_pair(pair: Pair, longest: int) -> Sample:
    """A picture with the person's mask. DataError where it cannot be used."""
    return Sample(*load(pair, longest), origins=_origins(pair.image, pair.source))


def from_labels(
    truth: TruthFolder,
    longest: int,
    person: int | None = None,
    *,
    leave_out: Sequence[str] = (),
    report: Callable[[Path, list[int]], None] = lambda truth, ids: None,
) -> list[Sample]:
    """Pictures with class ids, and where one class is the `person`, with the mask of that.

    leave_out  stems of held-back pictures; a labelled picture that is one of them, perhaps under a prefix, is skipped
    report     hears of a label file with ids outside the classes, and which

    DataError counts those that cannot be used.
    """

    def sample(pair: tuple[Path, Path]) -> Sample:
        frame, ids = truth.read(pair, report)
        factor = min(1.0, longest / max(ids.shape))
        small = None if factor == 1 else (round(ids.shape[1] * factor), round(ids.shape[0] * factor))
        if small:
            frame = np.asarray(cv2.resize(frame, small, interpolation=cv2.INTER_AREA), np.uint8)
            ids = np.asarray(cv2.resize(ids, small, interpolation=cv2.INTER_NEAREST), np.uint8)
        mask = None if person is None else np.asarray((ids == person) * 255, np.uint8)
        peopled = (PEOPLED,) if mask is not None and mask.any() else ()
        return Sample(frame, mask, ids, (*_origins(pair[0]), *peopled))

    pairs = [pair for pair in truth.pairs if not any(stem.endswith(pair[0].stem) for stem in leave_out)]
    if not pairs:
        raise DataError("no labelled pictures are left to train on")
    return load_all(pairs, sample)


def _origins(image: Path, *sources: str) -> tuple[str, ...]:
    """Names of what a picture is from: `sources`, its data folder, and that with the folder above."""
    folder = image.parent.parent
    return tuple(dict.fromkeys([*sources, folder.name, f"{folder.parent.name}/{folder.name}"]))


@dataclass(frozen=True)
class Augmentation:
    """How pictures vary. `webcam` views a person in any framing and room; otherwise the scene's own view is kept nearly."""

    webcam: bool = True
    composite: float = 0.4  # share of the pictures with a mask alone that get another background
    company: float = 0.2  # share of those in which somebody of another picture stands behind


class Pictures:
    """Augmented samples, all decoded once and kept in memory.

    shares  how often the pictures of a source are drawn in an epoch, where it is not once
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        backgrounds: Sequence[Frame],
        augmentation: Augmentation,
        seed: int,
        shares: Mapping[str, float] | None = None,
    ) -> None:
        self.samples, self.backgrounds = list(samples), list(backgrounds)
        self.augmentation, self.seed, self.shares = augmentation, seed, dict(shares or {})
        self.epoch = 0
        self.threads = 1  # that make batches
        self.full: Size | None = None  # of the network: a batch of smaller pictures shows parts of scenes; None: whole ones
        self._factors = factors([sample.origins for sample in self.samples], self.shares)
        self._people = [i for i, s in enumerate(self.samples) if s.ids is None and s.mask is not None and s.mask.any()]

    def __len__(self) -> int:
        return len(self.samples)

    def at_least(self) -> int:
        """Pictures that every epoch has."""
        return least(self._factors)

    def steps(self, batch: int) -> int:
        """Full batches of this epoch."""
        return int(draws(self._factors, self.epoch, self.seed).sum()) // batch

    def make(self, index: int, size: Size, again: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """image (3, h, w) RGB in 0..1, matte (1, h, w) negative where unknown, ids (h, w).

        again  how often this picture has come in this epoch before
        """
        rng = np.random.default_rng((self.seed, self.epoch, index, again))
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
            share = math.sqrt(math.prod(size) / math.prod(self.full)) if self.full else 1.0
            frame, matte, ids = view(sample.frame, mask, size, rng, ids=sample.ids, calm=not how.webcam, share=min(1.0, share))
        if how.webcam or rng.random() < CAMERA:
            frame = camera(frame, rng)
        image, known = to_tensors(frame, matte, ids)
        return image, known, torch.from_numpy(np.full(size, IGNORE, np.uint8) if ids is None else ids).long()

    def batches(
        self, sizes: Sequence[Size], batch: int, *, accumulate: int = 1, rank: int = 0, count: int = 1
    ) -> Generator[tuple[Tensor, Target], None, None]:
        """Full batches in random order; `accumulate` of them, for one step, have one of `sizes`. Of `count` processes each
        gets its share of every batch, by its `rank`.

        A thread makes the next ones while the network computes: OpenCV and NumPy let go of the interpreter, and unlike a
        forked worker it cannot inherit locks.
        """
        rng = np.random.default_rng((self.seed, self.epoch))
        times = draws(self._factors, self.epoch, self.seed)
        order = rng.permutation([(i, again) for i, n in enumerate(times.tolist()) for again in range(n)])
        batch = min(batch, len(order))
        pool = ThreadPoolExecutor(self.threads)
        ahead: deque[Future[tuple[Tensor, Target]]] = deque()
        try:
            for step in range(len(order) // (batch * accumulate)):
                size = sizes[int(rng.integers(len(sizes)))]
                for part in range(step * accumulate, (step + 1) * accumulate):
                    share = order[part * batch : (part + 1) * batch][rank::count]
                    ahead.append(pool.submit(self._batch, share.tolist(), size))
                    if len(ahead) > 2 + self.threads:
                        yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _batch(self, indices: list[tuple[int, int]], size: Size) -> tuple[Tensor, Target]:
        made = (self.make(index, size, again) for index, again in indices)
        images, mattes, ids = (torch.stack(parts) for parts in zip(*made, strict=True))
        return images, Target(mattes, ids)


def to_tensors(frame: Frame, mask: Mask | None, ids: ClassIds | None = None) -> tuple[Tensor, Tensor]:
    """BGR frame and mask -> image (3, h, w) RGB and matte (1, h, w), float32 in 0..1; -1 where `ids` are unknown."""
    image = torch.from_numpy(np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1))).float() / 255
    matte = torch.full((1, *frame.shape[:2]), -1.0) if mask is None else torch.from_numpy(mask)[None].float() / 255
    if ids is not None:
        matte[0, torch.from_numpy(ids == IGNORE)] = -1.0
    return image, matte
