from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.errors import UsageError
from edgeseg.train.samples import Augmentation, Pictures, Sample
from edgeseg.train.shares import draws, factors, least, parse_shares


@given(
    st.lists(st.sampled_from([0.0, 0.3, 1 / 3, 1.0, 1.7, 4.0]), min_size=1, max_size=40),
    st.integers(0, 50),
    st.integers(0, 3),
)
def test_every_picture_gets_its_due(factor: list[float], epochs: int, seed: int) -> None:
    each = np.array(factor)
    counts = np.array([draws(each, epoch, seed) for epoch in range(epochs)]).reshape(epochs, len(each))
    assert (np.abs(counts.sum(0) - epochs * each) < 1).all()  # after any number of epochs
    assert (counts.sum(1) >= least(each)).all()
    for value in set(factor):
        of_it = counts[:, each == value].sum(1)
        assert (np.abs(of_it - value * factor.count(value)) < 1 + 1e-6).all()  # in every single epoch


def test_without_shares_all_are_drawn_once() -> None:
    assert draws(np.ones(5), 7, 0).tolist() == [1] * 5


def test_a_third_takes_turns() -> None:
    counts = np.array([draws(np.full(6, 1 / 3), epoch, 0) for epoch in range(3)])
    assert counts.sum(1).tolist() == [2, 2, 2]
    assert counts.sum(0).tolist() == [1] * 6


def test_factors_are_of_all_of_a_pictures_names() -> None:
    origins = [("lectures", "web"), ("street", "web"), ("rooms",)]
    assert factors(origins, {"lectures": 0.5, "web": 2.0}).tolist() == [1.0, 2.0, 1.0]
    with pytest.raises(UsageError, match=r"--share books: no training picture is from there; sources are lectures, rooms, "):
        factors(origins, {"books": 0.5})


@pytest.mark.parametrize("text", ["lectures", "=2", "lectures=", "lectures=-1", "lectures=inf", "lectures=nan", "a=b"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not SOURCE=X"):
        parse_shares([text])


def test_shares_are_parsed() -> None:
    assert parse_shares(["a/b=0.3", "c=d=2"]) == {"a/b": 0.3, "c=d": 2.0}


def test_batches_hold_what_is_drawn_and_repeated_pictures_differ() -> None:
    """Mattes tell the pictures apart: those of b come twice in every epoch, those of a in every other."""
    slope = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)  # in which every window looks different
    samples = [Sample(slope + np.uint8(i), np.full((8, 8), i, np.uint8), None, ("ab"[i % 2],)) for i in range(8)]
    pictures = Pictures(samples, [], Augmentation(webcam=False), 0, {"a": 0.5, "b": 2.0})
    seen = []
    for epoch in range(2):
        pictures.epoch = epoch
        assert pictures.steps(5) == 2
        batches = list(pictures.batches([(8, 8)], 5))
        mattes = torch.cat([target.matte for _, target in batches])
        seen += (mattes.amax((1, 2, 3)) * 255).round().int().tolist()
    assert sorted(seen) == sorted([0, 2, 4, 6] + [1, 3, 5, 7] * 4)
    first, again = pictures.make(1, (8, 8))[0], pictures.make(1, (8, 8), 1)[0]
    assert not torch.equal(first, again)
