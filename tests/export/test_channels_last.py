"""The channels-last operators compute what those they stand for compute."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.export.channels_last import enlarge_nearest, lower, multiply, pad
from edgeseg.export.rewrites import ChannelsLast, rewrite
from edgeseg.models import ENet

side = st.integers(0, 3)


@settings(max_examples=30, deadline=None)
@given(sides=st.one_of(st.tuples(side, side), st.tuples(side, side, side, side), st.tuples(*[side] * 6)), h=st.integers(1, 4))
def test_padding(sides, h):
    x = torch.randn(1, 2, h, 3)
    assert torch.equal(pad(x, list(sides)), F.pad(x, list(sides)))


def test_other_paddings_are_left_to_torch():
    x = torch.randn(1, 2, 4, 4)
    assert torch.equal(pad(x, [1, 1, 1, 1], "reflect"), F.pad(x, [1, 1, 1, 1], "reflect"))


@settings(max_examples=20, deadline=None)
@given(factor=st.integers(1, 4), c=st.integers(1, 3), h=st.integers(1, 4), w=st.integers(1, 4))
def test_enlargement_repeats_pixels(factor, c, h, w):
    x = torch.randn(1, c, h, w)
    expected = x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    assert torch.equal(enlarge_nearest(x, None, [float(factor)] * 2), expected)


@pytest.mark.parametrize("factors", [[1.5, 1.5], [2.0, 3.0]])
def test_uneven_enlargement_is_left_to_torch(factors):
    x = torch.randn(1, 2, 4, 4)
    assert torch.equal(enlarge_nearest(x, None, factors), F.interpolate(x, scale_factor=factors, mode="nearest"))


def test_a_constant_of_two_axes_is_broadcast_as_before():
    x, plane = torch.randn(1, 2, 3, 4), torch.randn(3, 4)
    assert torch.equal(multiply(x, plane), x * plane)


def test_a_whole_network_is_the_same_and_its_constants_are_folded():
    network = ChannelsLast(rewrite(ENet(1, activation="relu"), channels_last=True)).eval()
    lowered = lower(network, (32, 32))
    image = torch.rand(1, 32, 32, 3)
    with torch.no_grad():
        torch.testing.assert_close(lowered(image), network(image))
    nodes = list(lowered.body.graph.nodes)
    assert not [node for node in nodes if node.op == "call_function" and "tile" in str(node.target)]
    assert [node for node in nodes if node.op == "get_attr" and "tile" in str(node.target)]
