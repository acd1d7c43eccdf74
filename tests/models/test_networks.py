"""What every network here must do. A new network adds a row to CASES."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.errors import ShapeError, UsageError
from edgeseg.models import MODELS, DeepLabV3Plus, ENet, SegmentationNetwork
from edgeseg.models.deeplabv3plus import Steps
from edgeseg.models.mobilenet import BACKBONES, InvertedResiduals, round_channels

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "enet": ("enet", {"activation": "relu"}),
    "enet with PReLU": ("enet", {"activation": "prelu"}),
    "deeplabv3plus": ("deeplabv3plus-mobilenetv2", {"width": 0.35, "aspp_channels": 16, "decoder_channels": 16}),
    "deeplabv3plus stride 8": ("deeplabv3plus-mobilenetv2", {"width": 0.35, "output_stride": 8, "aspp_channels": 16}),
    "deeplabv3plus stride 32": ("deeplabv3plus-mobilenetv2", {"width": 0.5, "output_stride": 32, "aspp_channels": 16}),
    "deeplabv3plus in steps": (
        "deeplabv3plus-mobilenetv2",
        {"width": 0.35, "output_stride": 32, "aspp_channels": 16, "steps": [24, 16, 16, 8]},
    ),
    "deeplabv3plus in two steps": (
        "deeplabv3plus-mobilenetv2",
        {"width": 0.35, "aspp_channels": 16, "steps": (8, 8), "backbone": "efficientnet-lite0"},
    ),
}


def build(case: str, channels: int = 1) -> SegmentationNetwork:
    name, arguments = CASES[case]
    torch.manual_seed(0)
    return MODELS[name](channels, **arguments)


def test_every_architecture_has_a_case() -> None:
    assert {name for name, _ in CASES.values()} == set(MODELS)


@pytest.mark.parametrize("case", CASES)
class TestEveryNetwork:
    @pytest.mark.parametrize(("channels", "size"), [(1, (64, 64)), (12, (64, 96)), (3, (96, 32))])
    def test_gives_logits_at_its_output_stride(self, case: str, channels: int, size: tuple[int, int]) -> None:
        network = build(case, channels).eval()
        with torch.no_grad():
            logits = network(torch.rand(2, 3, *size))
        stride = network.output_stride
        assert logits.shape == (2, channels, size[0] // stride, size[1] // stride)
        assert torch.isfinite(logits).all()

    def test_every_parameter_is_trained(self, case: str) -> None:
        network = build(case).train()
        network(torch.rand(2, 3, 64, 64)).square().sum().backward()
        assert [name for name, p in network.named_parameters() if p.grad is None] == []

    def test_a_size_it_cannot_take_is_answered_with_one_it_can(self, case: str) -> None:
        network = build(case)
        d = network.size_divisor
        with pytest.raises(ShapeError, match=rf"divisible by {d}; use --size {10 * d}x{d}"):
            network.check_size((10 * d + 1, d - 1))
        network.check_size((10 * d, d))

    @settings(max_examples=5, deadline=None)
    @given(rows=st.integers(1, 3), columns=st.integers(1, 3))
    def test_takes_every_size_it_says_it_takes(self, case: str, rows: int, columns: int) -> None:
        network = build(case).eval()
        size = (rows * network.size_divisor, columns * network.size_divisor)
        network.check_size(size)
        with torch.no_grad():
            logits = network(torch.rand(1, 3, *size))
        assert logits.shape[2:] == (size[0] // network.output_stride, size[1] // network.output_stride)


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_enet_parameters_by_hand() -> None:
    """Table 1 of the paper with ReLU: weights of convolutions (no bias) plus 2 per channel of each batch norm."""

    def bottleneck(c: int, kernel: int = 9) -> int:
        i = c // 4
        return c * i + 2 * i + kernel * i * i + 2 * i + i * c + 2 * c

    def down(c_in: int, c: int) -> int:
        i = c // 4
        return 4 * c_in * i + 2 * i + 9 * i * i + 2 * i + i * c + 2 * c

    def up(c_in: int, c: int) -> int:
        i = c // 4
        return c_in * c + 2 * c + c_in * i + 2 * i + 9 * i * i + 2 * i + i * c + 2 * c

    asymmetric = 5 + 5
    context = 6 * bottleneck(128) + 2 * bottleneck(128, asymmetric)
    expected = (
        3 * 13 * 9 + 2 * 16  # initial
        + down(16, 64) + 4 * bottleneck(64)  # 1
        + down(64, 128) + context  # 2
        + context  # 3
        + up(128, 64) + 2 * bottleneck(64)  # 4
        + up(64, 16) + bottleneck(16)  # 5
        + 16 * 19 * 4 + 19  # full convolution, 2x2, with bias
    )  # fmt: skip
    assert parameters(ENet(19, activation="relu")) == expected
    assert 0.35e6 < expected < 0.37e6  # the paper says 0.37 M
    prelu = parameters(ENet(19, activation="prelu"))
    assert expected < prelu < 0.37e6


def test_mobilenetv2_parameters_are_the_papers() -> None:
    """3.4 M with the classifier: 1.81 M here, 0.41 M its 320 -> 1280 layer, 1.28 M its 1280 -> 1000 layer."""
    here = parameters(InvertedResiduals(BACKBONES["mobilenetv2"], 1.0, 32))
    assert here + (320 * 1280 + 2 * 1280) + (1280 * 1000 + 1000) == 3_504_872


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_output_stride_changes_sizes_and_not_weights(stride: int) -> None:
    network = InvertedResiduals(BACKBONES["mobilenetv2"], 0.5, stride).eval()
    with torch.no_grad():
        features = network(torch.rand(1, 3, 64, 128))
    channels = {8: [8, 16, 160], 16: [8, 16, 16, 160], 32: [8, 16, 16, 48, 160]}[stride]  # the last stage's of each stride
    assert network.channels == channels
    assert [f.shape for f in features] == [(1, c, 64 >> i, 128 >> i) for i, c in enumerate(channels, 1)]
    assert parameters(network) == parameters(InvertedResiduals(BACKBONES["mobilenetv2"], 0.5, 32))


@pytest.mark.parametrize(
    ("channels", "rounded"), [(32, 32), (11.2, 16), (8.4, 8), (16 * 0.35, 8), (24 * 0.35, 8), (24 * 0.5, 16), (24, 24)]
)
def test_channels_are_rounded_as_the_authors_do(channels: float, rounded: int) -> None:
    assert round_channels(channels) == rounded


def test_steps_join_what_the_backbone_has_at_their_stride() -> None:
    """Context of ones and features of zero but one: from there on the answer differs, and nowhere does it before."""
    torch.manual_seed(0)
    steps = Steps(2, (3, 4), (5, 6)).eval()
    context, coarse, fine = torch.ones(1, 2, 4, 4), torch.zeros(1, 3, 8, 8), torch.zeros(1, 4, 16, 16)
    with torch.no_grad():
        before = steps(context, (coarse, fine))
        fine[..., 15, 15] = 100
        after = steps(context, (coarse, fine))
    assert before.shape == (1, 6, 16, 16)
    changed = (before != after).any(1)[0]
    assert changed[14:, 14:].any()  # a kernel of 3x3 reaches one pixel far
    assert not changed[:14].any()
    assert not changed[:, :14].any()


def test_steps_beyond_the_finest_features_are_refused() -> None:
    DeepLabV3Plus(1, width=0.35, output_stride=16, aspp_channels=8, steps=(8, 8, 8))
    with pytest.raises(UsageError, match="4 steps from output stride 16 go beyond the features of stride 2"):
        DeepLabV3Plus(1, output_stride=16, steps=(8, 8, 8, 8))


@pytest.mark.parametrize("steps", [8, "8,8", [0], [8, 1.5], [-8], None, [True]])
def test_steps_are_channels(steps: Any) -> None:
    with pytest.raises(UsageError, match="steps must be a list of channels from 1 up"):
        DeepLabV3Plus(1, steps=steps)


def test_an_output_stride_that_does_not_exist_is_named() -> None:
    with pytest.raises(UsageError, match="must be one of 8, 16, 32; got 4"):
        DeepLabV3Plus(1, output_stride=4)
