from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgeseg.compress import separable
from edgeseg.compress.moments import Moments, unfold
from edgeseg.compress.separable import separate
from edgeseg.compress.substitute import dense_weight
from edgeseg.models.rewrites import greatest

GEOMETRIES = st.fixed_dictionaries(
    {
        "in_channels": st.integers(1, 5),
        "out_channels": st.integers(1, 6),
        "kernel_size": st.tuples(st.integers(1, 5), st.integers(1, 5)),
        "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "padding": st.tuples(st.integers(0, 4), st.integers(0, 4)),
        "dilation": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "bias": st.booleans(),
        "padding_mode": st.sampled_from(["zeros", "replicate"]),
    }
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def of_rank(geometry: dict[str, Any], rank: int, seed: int) -> nn.Conv2d:
    """A convolution each of whose input channels has a (c_out, kh * kw) matrix of at most this rank."""
    torch.manual_seed(seed)
    conv = nn.Conv2d(**geometry).requires_grad_(False)
    c_out, c_in, kh, kw = conv.weight.shape
    factors = random(c_out, c_in, rank, seed=seed), random(c_in, rank, kh * kw, seed=seed + 1)
    conv.weight.copy_(torch.einsum("oij,ijk->oik", *factors).reshape(c_out, c_in, kh, kw))
    return conv


def measured(conv: nn.Conv2d, *images: Tensor) -> Moments:
    moments = Moments(conv)
    for image in images:
        moments.add(image, conv(image))
    return moments


@settings(max_examples=30, deadline=None)
@given(geometry=GEOMETRIES, rank=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_kernel_of_low_rank_is_reproduced(geometry: dict[str, Any], rank: int, seed: int) -> None:
    conv = of_rank(geometry, rank, seed)
    multiplier = min(rank, greatest(conv, "separable"))
    image = random(2, geometry["in_channels"], 15, 17, seed=seed)
    for moments in (None, measured(conv, image)):
        torch.testing.assert_close(separate(conv, multiplier, moments)(image), conv(image), rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # slower, and right
@settings(max_examples=30, deadline=None)
@given(geometry=GEOMETRIES, same=st.booleans(), seed=st.integers(0, 99))
def test_patches_are_what_the_convolution_reads(geometry: dict[str, Any], same: bool, seed: int) -> None:
    if same:
        geometry = geometry | {"padding": "same", "stride": 1}
    conv = of_rank(geometry, 1, seed)
    image = random(2, geometry["in_channels"], 15, 17, seed=seed)
    expected = conv(image).flatten(2) - (0 if conv.bias is None else conv.bias[:, None])
    torch.testing.assert_close(conv.weight.flatten(1) @ unfold(image, conv), expected, rtol=1e-3, atol=1e-3)


def test_as_many_kernels_as_taps_lose_nothing() -> None:
    conv = nn.Conv2d(3, 12, 3, padding=1).requires_grad_(False)
    image = random(1, 3, 8, 8)
    torch.testing.assert_close(separate(conv, 9)(image), conv(image), rtol=1e-4, atol=1e-5)


def taps(*weight: tuple[float, float]) -> nn.Conv2d:
    """One input channel, two taps side by side; a row of `weight` is an output channel."""
    conv = nn.Conv2d(1, len(weight), (1, 2), bias=False).requires_grad_(False)
    conv.weight.copy_(torch.tensor(weight).reshape(len(weight), 1, 1, 2))
    return conv


def pixels(*patches: tuple[float, float]) -> Tensor:
    """An image on which a (1, 2) kernel reads nothing but these patches, one in each row."""
    return torch.tensor(patches, dtype=torch.float32)[None, None]


def test_by_hand_the_larger_weight_or_the_one_that_pictures_use() -> None:
    """W = [[2, 0], [0, 1]] is of rank 2. Its greatest singular value is 2; what is left out is 1 of sqrt(4 + 1). Where the
    second tap is ten times as strong in the pictures, outputs have 2^2 and 10^2, and the second row is the one to keep.
    """
    conv = taps((2, 0), (0, 1))
    moments = measured(conv, pixels((1, 0), (-1, 0), (0, 10), (0, -10)))

    for used, judged, expected in [
        (None, Moments(conv), math.sqrt(1 / 5)),
        (None, moments, math.sqrt(100 / 104)),
        (moments, moments, math.sqrt(4 / 104)),
    ]:
        assert judged.error(dense_weight(separate(conv, 1, used))) == pytest.approx(expected, rel=1e-3)


def test_the_error_is_that_of_the_outputs() -> None:
    conv = nn.Conv2d(4, 6, 3, 2, 1).requires_grad_(False)
    image = random(2, 4, 9, 9)
    layer = separate(conv)
    wanted = conv(image) - conv.bias[:, None, None]  # type: ignore[index]
    expected = (layer(image) - conv(image)).norm() / wanted.norm()
    got = measured(conv, image).error(dense_weight(layer))
    assert got == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("largest", [separable.LARGEST, 0])
def test_pictures_lessen_the_error(multiplier: int, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels that go together make up for each other; also in layers that are too large for all to be solved for."""
    monkeypatch.setattr(separable, "LARGEST", largest)
    common = random(4, 1, 20, 20)
    image = (common + 0.3 * random(4, 8, 20, 20, seed=1)).relu()
    other = (random(4, 1, 20, 20, seed=2) + 0.3 * random(4, 8, 20, 20, seed=3)).relu()
    ratios = []
    for seed in range(8):  # now and then a plain form happens to be a good one
        torch.manual_seed(seed)
        conv = nn.Conv2d(8, 8, 3, padding=1).requires_grad_(False)
        unseen = measured(conv, other)
        plain, fitted = (dense_weight(separate(conv, multiplier, moments)) for moments in (None, measured(conv, image)))
        ratios.append(unseen.error(fitted) / unseen.error(plain))
    assert sum(ratios) / len(ratios) < 0.7
    assert max(ratios) < 0.8


def test_a_channel_that_no_picture_wakes_keeps_its_weights() -> None:
    conv = of_rank({"in_channels": 2, "out_channels": 3, "kernel_size": 3, "bias": False}, 1, 0)
    image = random(2, 2, 9, 9)
    image[:, 1] = 0
    awake = random(1, 2, 9, 9, seed=5)
    torch.testing.assert_close(separate(conv, 1, measured(conv, image))(awake), conv(awake), rtol=1e-3, atol=1e-3)


def test_kernels_share_a_range() -> None:
    """Input channels of very different strength: the outputs of their kernels have mean square 1 all the same."""
    conv = nn.Conv2d(3, 8, 3, padding=1).requires_grad_(False)
    image = random(4, 3, 20, 20) * torch.tensor([0.01, 1.0, 100.0])[:, None, None]
    between = separate(conv, 2, measured(conv, image)).depthwise(image)
    torch.testing.assert_close(between.square().mean((0, 2, 3)), torch.ones(6), rtol=0.01, atol=0)


def test_a_layer_of_zeros_stays_one() -> None:
    conv = nn.Conv2d(2, 3, 3, bias=False).requires_grad_(False)
    conv.weight.zero_()
    image = random(1, 2, 8, 8)
    for moments in (None, measured(conv, image), measured(conv, torch.zeros(1, 2, 8, 8))):
        assert separate(conv, 1, moments)(image).abs().max() == 0
