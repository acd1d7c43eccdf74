"""Shrinking once for all, arrays used again, and the few pixels of an edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.runtime.buffers import Buffers
from edgeseg.runtime.chunks import Chunks, gather, scatter
from edgeseg.runtime.pyramid import Pyramid
from edgeseg.runtime.tensors import shrink

pytestmark = pytest.mark.usefixtures("way")


@pytest.mark.parametrize("frame_size", [(720, 1280), (1280, 720), (479, 641), (90, 1), (1, 1), (64, 64)])
@pytest.mark.parametrize("size", [(180, 320), (256, 256), (1, 1), (45, 7), (90, 160)])
def test_a_pyramid_gives_what_shrinking_gives(frame_size: tuple[int, int], size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    pyramid = Pyramid()
    for _ in range(2):  # the second frame in the buffers of the first
        frame = rng.integers(0, 256, (*frame_size, 3), np.uint8)
        pyramid.load(frame)
        np.testing.assert_array_equal(pyramid.shrunk(size).reshape(*size, 3), shrink(frame, size).reshape(*size, 3))
        at_least = pyramid.at_least(size)
        assert at_least.shape[0] >= min(size[0], frame_size[0])
        np.testing.assert_array_equal(shrink(at_least, size).reshape(*size, 3), pyramid.shrunk(size).reshape(*size, 3))


def test_a_pyramid_halves_once_and_keeps_its_arrays() -> None:
    pyramid = Pyramid()
    frame = np.zeros((720, 1280, 3), np.uint8)
    pyramid.load(frame)
    first = pyramid.at_least((256, 256)), pyramid.shrunk((180, 320)), pyramid.shrunk((256, 256))
    assert first[0].shape == (360, 640, 3)
    pyramid.load(frame)
    again = pyramid.at_least((256, 256)), pyramid.shrunk((180, 320)), pyramid.shrunk((256, 256))
    assert all(a is b for a, b in zip(first, again, strict=True))


def test_buffers_are_the_same_as_long_as_the_shape_is() -> None:
    buffers = Buffers()
    one = buffers.take("a", (3, 4))
    assert buffers.take("a", (3, 4)) is one
    assert not np.shares_memory(buffers.take("b", (3, 4)), one)
    assert buffers.take("a", (3, 4), np.float32).dtype == np.float32
    many = buffers.rows("c", 10, (8,))
    assert np.shares_memory(buffers.rows("c", 15, (8,)), many)  # half as many again fit
    assert buffers.rows("c", 16, (8,)).shape == (16, 8)
    part = buffers.part("d", (4, 6), np.float32)
    smaller = buffers.part("d", (5, 4), np.float32)
    assert np.shares_memory(part, smaller)
    assert smaller.shape == (5, 4)
    assert smaller.flags.c_contiguous
    assert not np.shares_memory(buffers.part("d", (5, 5), np.float32), part)  # it has grown
    assert buffers.part("d", (5, 5)).dtype == np.uint8


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_chunks_hold_every_mixed_pixel_and_come_back_where_they_were(h: int, w: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    alpha = np.where(rng.random((h, w)) < 0.5, 0, 255).astype(np.uint8)
    alpha[rng.random((h, w)) < share / 10] = 100
    picture = rng.integers(0, 256, (h, w, 3), np.uint8)
    chunks = Chunks(alpha, Buffers())
    covered = np.zeros(h * w, bool)
    covered[chunks.tail] = True
    for index in chunks.indices:
        covered[8 * index : 8 * index + 8] = True
    assert covered[(alpha.ravel() > 0) & (alpha.ravel() < 255)].all()
    colours = gather(picture, chunks.indices, np.empty((len(chunks.indices) + 3, 8, 3), np.uint8))
    for index, alphas, colour in zip(chunks.indices, chunks.alphas, colours, strict=True):
        np.testing.assert_array_equal(alphas, alpha.ravel()[8 * index : 8 * index + 8])
        np.testing.assert_array_equal(colour, picture.reshape(-1, 3)[8 * index : 8 * index + 8])
    before = picture.copy()
    scatter(picture, chunks.indices, 255 - colours)
    changed = (picture != before).any(axis=2).ravel()
    inside = covered.copy()
    inside[chunks.tail] = False
    assert not changed[~inside].any()
    np.testing.assert_array_equal(picture.reshape(-1, 3)[inside], 255 - before.reshape(-1, 3)[inside])


def test_only_the_rows_that_hold_somebody_are_looked_at() -> None:
    alpha = np.full((10, 16), 100, np.uint8)
    alpha[:3] = alpha[7:] = 0
    whole, part = Chunks(alpha, Buffers()), Chunks(alpha, Buffers(), seen=np.s_[3:7, 2:9])
    assert part.indices.tolist() == whole.indices.tolist() == list(range(6, 14))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 60), st.integers(1, 60))
def test_a_flat_frame_stays_flat_at_any_size(height: int, width: int, rows: int, columns: int) -> None:
    pyramid = Pyramid()
    pyramid.load(np.full((height, width, 3), (10, 120, 250), np.uint8))
    small = pyramid.shrunk((rows, columns)).reshape(rows, columns, 3)
    assert (small == (10, 120, 250)).all()
