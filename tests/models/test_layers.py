from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.models.layers import pad_channels, pool_with_mask, unpool


@settings(max_examples=50, deadline=None)
@given(h=st.integers(1, 5), w=st.integers(1, 5), levels=st.integers(1, 4), seed=st.integers(0, 999))
def test_unpooling_is_that_of_max_pooling_indices(h: int, w: int, levels: int, seed: int) -> None:
    """Few levels make ties in nearly every window: where they go is what naive masks get wrong."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, levels, (2, 3, 2 * h, 2 * w), generator=generator).float()
    values = torch.randn(2, 3, h, w, generator=generator)
    expected_pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    pooled, mask = pool_with_mask(x)
    assert torch.equal(pooled, expected_pooled)
    assert torch.equal(unpool(values, mask), F.max_unpool2d(values, indices, 2))


def test_mask_takes_the_first_of_equal_maxima_in_reading_order() -> None:
    x = torch.tensor([[[[0.0, 5.0, 7.0, 7.0], [5.0, 5.0, 7.0, 7.0]]]])
    assert pool_with_mask(x)[1].tolist() == [[[[0, 1, 1, 0], [0, 0, 0, 0]]]]


def test_padded_channels_are_zero_and_last() -> None:
    x = torch.ones(1, 2, 1, 1)
    assert pad_channels(x, 4).flatten().tolist() == [1, 1, 0, 0]
