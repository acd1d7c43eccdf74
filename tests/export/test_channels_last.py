"""The channels-last operators compute what those they stand for compute."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeseg.export.channels_last import channels_last, enlarge_nearest, pad
from edgeseg.export.quiet import quiet
from edgeseg.export.rewrites import rewrite
from edgeseg.models import ENet

with quiet():
    from edgeseg.calib.observers import MinMax
    from edgeseg.compress import quantize

side = st.integers(0, 3)
aten = torch.ops.aten


def unstored(x):
    return x


class Shuffled(nn.Module):
    """A constant of two axes, a padding, and convolutions (grouped the last) with a pixel shuffle behind them."""

    def __init__(self, stride=2, groups=1):
        super().__init__()
        self.plane = torch.rand(6, 8)
        self.first, self.second = nn.Conv2d(3, 5, 1), nn.Conv2d(5, 4 * stride**2, 2)
        self.last = nn.Conv2d(4, 8, 1, groups=groups)
        self.shuffle, self.enlarge = nn.PixelShuffle(stride), nn.PixelShuffle(2)

    def forward(self, image):
        x = torch.relu(self.first(image)) * self.plane
        x = self.shuffle(torch.relu(self.second(F.pad(x, (0, 1, 0, 1)))))
        return F.interpolate(self.enlarge(self.last(x)), scale_factor=2.0, mode="nearest")


def converted(network, image):
    with quiet(), torch.no_grad():
        prepared = quantize.prepare(network.eval(), image.shape[2:], MinMax)
        prepared(image)
        return quantize.convert(prepared)


@settings(max_examples=30, deadline=None)
@given(sides=st.one_of(st.tuples(side, side), st.tuples(side, side, side, side), st.tuples(*[side] * 6)), h=st.integers(1, 4))
def test_padding(sides, h):
    x = torch.randn(1, 2, h, 3)
    assert torch.equal(pad(unstored, x, list(sides)), F.pad(x, list(sides)))


def test_other_paddings_are_left_to_torch():
    x = torch.randn(1, 2, 4, 4)
    assert torch.equal(pad(unstored, x, [1, 1, 1, 1], "reflect"), F.pad(x, [1, 1, 1, 1], "reflect"))


@settings(max_examples=20, deadline=None)
@given(factor=st.integers(1, 4), c=st.integers(1, 3), h=st.integers(1, 4), w=st.integers(1, 4))
def test_enlargement_repeats_pixels(factor, c, h, w):
    x = torch.randn(1, c, h, w)
    expected = x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    assert torch.equal(enlarge_nearest(unstored, x, None, [float(factor)] * 2), expected)


@pytest.mark.parametrize("factors", [[1.5, 1.5], [2.0, 3.0]])
def test_uneven_enlargement_is_left_to_torch(factors):
    x = torch.randn(1, 2, 4, 4)
    assert torch.equal(enlarge_nearest(unstored, x, None, factors), F.interpolate(x, scale_factor=factors, mode="nearest"))


@pytest.mark.parametrize("stride", [2, 3])
def test_a_converted_graph_gives_the_same_values_bit_for_bit(stride):
    torch.manual_seed(stride)
    image = torch.rand(1, 3, 6, 8)
    graph = converted(Shuffled(stride), image)
    before = str(graph.graph)
    with torch.no_grad():
        got = channels_last(graph, (6, 8))(image.permute(0, 2, 3, 1))
        assert torch.equal(got.permute(0, 3, 1, 2), graph(image))
    assert str(graph.graph) == before


def test_every_value_of_a_converted_graph_is_stored():
    """Between any two operators that compute there is a range, or LiteRT would leave them in float."""
    image = torch.rand(1, 3, 6, 8)
    lowered = channels_last(converted(Shuffled(), image), (6, 8))
    traced = torch.export.export(lowered, (image.permute(0, 2, 3, 1),), strict=False).module()
    calls = [n for n in traced.graph.nodes if n.op == "call_function" and isinstance(n.meta.get("val"), torch.Tensor)]
    bare = [n for n in calls if "quantize" not in str(n.target) and not all("quantize" in str(u.target) for u in n.users)]
    assert {n.target for n in bare} <= {aten.conv2d.default, aten.mul.Tensor}
    assert all(u.target is aten.relu.default for n in bare for u in n.users)
    assert aten.pixel_shuffle.default not in {n.target for n in calls}


def test_a_shuffle_behind_a_grouped_convolution_stays():
    image = torch.rand(1, 3, 6, 8)
    network = Shuffled(groups=2).eval()
    lowered = channels_last(network, (6, 8))
    with torch.no_grad():
        torch.testing.assert_close(lowered(image.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), network(image))
    assert [n.target for n in lowered.body.graph.nodes].count(aten.pixel_shuffle.default) == 1


def test_a_whole_network_is_the_same_and_its_constants_are_folded():
    network = rewrite(ENet(1, activation="relu"))
    lowered = channels_last(network, (32, 32))
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(lowered(image.permute(0, 2, 3, 1)), network(image).permute(0, 2, 3, 1))
    nodes = list(lowered.body.graph.nodes)
    assert not [node for node in nodes if node.op == "call_function" and "tile" in str(node.target)]
    assert [node for node in nodes if node.op == "get_attr" and "tile" in str(node.target)]
