from __future__ import annotations

from itertools import islice

import numpy as np

from edgeseg.train.samples import Augmentation, Pictures, Sample
from edgeseg.train.statistics import plain, typical

LANDSCAPE, UPRIGHT = (8, 16), (16, 8)


def pictures(webcam: bool) -> Pictures:
    """Three landscape pictures of one colour each, 10, 20 and 30, and an upright one, 40."""
    shapes = [(16, 32), (16, 32), (16, 32), (32, 16)]
    samples = [
        Sample(np.full((*shape, 3), 10 * (i + 1), np.uint8), np.zeros(shape, np.uint8)) for i, shape in enumerate(shapes)
    ]
    return Pictures(samples, [], Augmentation(webcam=webcam), seed=0)


def test_plain_pictures_are_whole_unchanged_and_go_to_the_nearest_framing() -> None:
    batches = list(islice(plain(pictures(True), (LANDSCAPE, UPRIGHT), 3), 6))
    colours = {tuple(batch.shape[-2:]): set() for batch in batches}
    for batch in batches:
        assert batch.shape[:2] == (3, 3)
        for image in batch:
            assert image.min() == image.max()
            colours[tuple(batch.shape[-2:])].add(round(255 * float(image[0, 0, 0])))
    assert colours == {LANDSCAPE: {10, 20, 30}, UPRIGHT: {40}}


def test_a_framing_that_suits_no_picture_is_left_out() -> None:
    assert all(batch.shape[-2:] == (8, 16) for batch in islice(plain(pictures(True), (LANDSCAPE, (16, 2)), 3), 3))


def test_every_other_batch_of_webcam_pictures_is_plain() -> None:
    rng = np.random.default_rng(0)
    samples = [Sample(rng.integers(0, 256, (*LANDSCAPE, 3), np.uint8), np.zeros(LANDSCAPE, np.uint8)) for _ in range(3)]
    unchanged = {sample.frame[..., ::-1].tobytes() for sample in samples}
    data = Pictures(samples, [], Augmentation(), seed=0)
    batches = [(255 * batch[0]).round().byte().permute(1, 2, 0).numpy() for batch in typical(data, (LANDSCAPE,), 1, 6)]
    assert [image.tobytes() in unchanged for image in batches] == [False, True] * 3


def test_scenes_are_augmented_throughout_and_end_with_the_epoch() -> None:
    assert len(list(typical(pictures(False), (LANDSCAPE,), 2, 6))) == 2  # four pictures
    assert len(list(typical(pictures(False), (LANDSCAPE,), 2, 1))) == 1
