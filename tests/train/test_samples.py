from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgeseg.errors import DataError
from edgeseg.train.samples import PEOPLED, Augmentation, Pictures, Sample, from_labels, to_tensors
from edgeseg.train.truth import read_truth


def test_tensors_by_hand() -> None:
    frame = np.array([[[0, 0, 255], [255, 0, 0]]], np.uint8)  # red, blue
    image, matte = to_tensors(frame, np.array([[255, 0]], np.uint8), np.array([[3, 255]], np.uint8))
    assert image[:, 0].T.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert matte.tolist() == [[[1.0, -1.0]]]
    assert to_tensors(frame, None)[1].tolist() == [[[-1.0, -1.0]]]


def test_batches_are_full_repeatable_and_of_the_sizes_asked_for() -> None:
    frame = np.full((20, 30, 3), 90, np.uint8)
    samples = [Sample(frame, np.full((20, 30), 255, np.uint8)) for _ in range(7)] + [
        Sample(frame, None, np.full((20, 30), 4, np.uint8))
    ]
    seen = []
    for _ in range(2):
        pictures = Pictures(samples, [], Augmentation(), seed=3)
        seen.append([(image, target) for image, target in pictures.batches([(16, 24), (24, 16)], 3)])
    assert len(seen[0]) == 2
    for (a, target), (b, _) in zip(*seen, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
        assert a.shape in ((3, 3, 16, 24), (3, 3, 24, 16))
        assert target.matte.shape == (3, 1, *a.shape[2:])
        assert target.ids.shape == (3, *a.shape[2:])
        for matte, ids in zip(target.matte, target.ids, strict=True):  # one of the two is known, of every picture
            assert ((matte == 1).all() and (ids == 255).all()) or ((matte == -1).all() and (ids == 4).all())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for stem in ("2007_1", "2007_2"):
        cv2.imwrite(str(tmp_path / "images" / f"{stem}.png"), np.zeros((10, 20, 3), np.uint8))
        cv2.imwrite(str(tmp_path / "labels" / f"{stem}.png"), np.tile(np.array([0, 15, 15, 255], np.uint8), (10, 5)))
    (tmp_path / "classes.csv").write_text("id,name\n0,ground\n15,person\n255,void\n")
    return tmp_path


def test_labels_give_ids_and_the_person(folder: Path) -> None:
    truth = read_truth(folder, ("ground", "person"), None)
    samples = from_labels(truth, 100, 1)
    assert len(samples) == 2
    assert samples[0].ids is not None
    assert samples[0].mask is not None
    assert samples[0].ids[0, :4].tolist() == [0, 1, 1, 255]
    assert samples[0].mask[0, :4].tolist() == [0, 255, 255, 0]
    small = from_labels(truth, 10, 1)[0]
    assert small.frame.shape == (5, 10, 3)


def test_scenes_with_somebody_in_them_can_have_a_share_of_their_own(folder: Path) -> None:
    cv2.imwrite(str(folder / "labels" / "2007_2.png"), np.zeros((10, 20), np.uint8))  # nobody
    peopled, empty = from_labels(read_truth(folder, ("ground", "person"), None), 100, 1)
    assert PEOPLED in peopled.origins
    assert PEOPLED not in empty.origins


def test_a_picture_that_is_held_back_elsewhere_is_left_out(folder: Path) -> None:
    truth = read_truth(folder, ("ground", "person"), None)
    assert len(from_labels(truth, 100, leave_out=["voc_2007_1"])) == 1
    with pytest.raises(DataError, match="no labelled pictures"):
        from_labels(truth, 100, leave_out=["voc_2007_1", "2007_2"])
