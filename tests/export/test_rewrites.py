"""Rewrites are exact: the rewritten module gives what the original gives, up to the rounding of float32."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeseg.errors import ExportError
from edgeseg.export.rewrites import (
    SideBySide,
    SplitPReLU,
    SubpixelConv,
    affine_convolution,
    fold_sequential,
    is_subpixel,
    rewrite,
)
from edgeseg.models import DeepLabV3Plus, ENet
from edgeseg.models.rewrites import LowRank, Separable

# (kernel, padding, output padding, stride) -> the kernel of the ordinary convolution, worked out by hand
TRANSPOSED = {
    (2, 0, 0, 2): (1, 1),
    (3, 1, 1, 2): (3, 3),
    (4, 1, 0, 2): (3, 3),
    (5, 2, 1, 2): (3, 3),
    (3, 0, 0, 3): (1, 1),
    (4, 0, 0, 4): (1, 1),
}


def unsettled(module):
    """Batch norms and slopes as training leaves them, not as they are initialised."""
    generator = torch.Generator().manual_seed(3)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean = torch.randn(part.num_features, generator=generator) * 0.1
            part.running_var = torch.rand(part.num_features, generator=generator) + 0.5
            if part.affine:
                part.weight.data = torch.rand(part.num_features, generator=generator) + 0.5
                part.bias.data = torch.randn(part.num_features, generator=generator) * 0.1
        elif isinstance(part, nn.PReLU):
            part.weight.data = torch.rand(part.num_parameters, generator=generator)
    return module.eval()


@pytest.mark.parametrize(("shape", "kernel"), TRANSPOSED.items())
@settings(max_examples=8, deadline=None)
@given(height=st.integers(1, 6), width=st.integers(1, 6), c_in=st.integers(1, 4), c_out=st.integers(1, 3), bias=st.booleans())
def test_a_transposed_convolution_is_a_convolution_and_a_shuffle(shape, kernel, height, width, c_in, c_out, bias):
    k, padding, output_padding, stride = shape
    conv = nn.ConvTranspose2d(c_in, c_out, k, stride, padding, output_padding, bias=bias)
    x = torch.randn(2, c_in, height, width)
    rewritten = SubpixelConv(conv)
    torch.testing.assert_close(rewritten(x), conv(x), atol=1e-5, rtol=1e-5)
    assert rewritten.conv.kernel_size == kernel


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "stride": 2},  # 2h + 1 rows
        {"kernel_size": 2, "stride": 2, "groups": 2},
        {"kernel_size": 3, "stride": 1, "padding": 1},
        {"kernel_size": 2, "stride": (2, 1)},
        {"kernel_size": 3, "stride": 2, "padding": 2, "output_padding": 1, "dilation": 2},
    ],
)
def test_other_transposed_convolutions_are_left_alone(arguments):
    assert not is_subpixel(nn.ConvTranspose2d(4, 4, **arguments))


@pytest.mark.parametrize(
    "network",
    [
        ENet(1, activation="relu"),
        ENet(5, activation="prelu"),
        DeepLabV3Plus(1, width=0.35, output_stride=32, aspp_channels=16, decoder_channels=16, low_channels=8),
    ],
    ids=["enet-relu", "enet-prelu", "deeplab"],
)
def test_networks_keep_their_logits(network):
    unsettled(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rewritten = rewrite(network)
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = network(image)
        torch.testing.assert_close(rewritten(image), expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-4)
    left = [m for m in rewritten.modules() if isinstance(m, nn.BatchNorm2d | nn.ConvTranspose2d | nn.PReLU | nn.Dropout2d)]
    assert not left
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("form", [Separable(nn.Conv2d(4, 6, 3, bias=False), 2), LowRank(nn.Conv2d(4, 6, 1), 2)])
def test_a_batch_norm_behind_two_convolutions_for_one_goes_into_the_second(form):
    layers = unsettled(nn.Sequential(form, nn.BatchNorm2d(6), nn.ReLU()))
    before = {name: value.clone() for name, value in layers.state_dict().items()}
    rewritten = rewrite(layers)
    assert [type(m) for m in rewritten] == [SideBySide if isinstance(form, Separable) else LowRank, nn.ReLU]
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(rewritten(x), layers(x), atol=1e-5, rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in layers.state_dict().items())


def test_an_activation_moves_before_the_shuffle():
    layers = nn.Sequential(nn.ConvTranspose2d(2, 3, 2, 2), nn.ReLU())
    rewritten = rewrite(layers)
    assert [type(m) for m in rewritten] == [SubpixelConv]
    x = torch.randn(1, 2, 3, 3)
    torch.testing.assert_close(rewritten(x), layers(x))


def test_a_lone_batch_norm_becomes_a_depthwise_convolution():
    norm = unsettled(nn.BatchNorm2d(3))
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(affine_convolution(norm)(x), norm(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("slopes", "convex"), [((0.0, 0.25, -1.5), True), ((1.0, 0.5, -2.0), True), ((0.2, 1.5, 0.0), False)])
def test_a_prelu_is_a_line_and_a_bend(slopes, convex):
    prelu = nn.PReLU(3)
    prelu.weight.data = torch.tensor(slopes)
    split = SplitPReLU(prelu)
    assert split.is_convex == convex
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(split(x), prelu(x))


def test_what_cannot_be_folded_is_said():
    with pytest.raises(ExportError, match="groups=1"):
        fold_sequential(nn.Sequential(nn.ConvTranspose2d(4, 4, 2, 2, groups=2), nn.BatchNorm2d(4)).eval())
    with pytest.raises(ExportError, match="track_running_stats"):
        affine_convolution(nn.BatchNorm2d(4, track_running_stats=False))


@pytest.mark.parametrize("geometry", [{"padding": 1}, {"stride": 2}, {"dilation": 3, "padding": 3}], ids=str)
@pytest.mark.parametrize("kernels", [1, 2, 3])
def test_kernels_of_one_channel_stand_side_by_side(kernels, geometry):
    network = unsettled(nn.Sequential(Separable(nn.Conv2d(4, 6, 3, **geometry), kernels)))
    rewritten = rewrite(network)
    depthwise = rewritten[0].depthwise
    assert depthwise.groups == depthwise.in_channels == depthwise.out_channels == 4 * kernels  # one kernel a channel
    x = torch.randn(2, 4, 9, 7)
    torch.testing.assert_close(rewritten(x), network(x), atol=1e-5, rtol=1e-4)
