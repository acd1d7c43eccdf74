"""A prepared graph, rounded in place, is what its converted form is."""

import pytest
import torch
from torch import nn

from edgeseg.export.quiet import quiet

with quiet():
    from edgeseg.calib import simulate
    from edgeseg.compress import quantize

from tests.calib.graphs import Chain, Skipping, collect, images, prepared


@pytest.fixture
def no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("network", [Chain, Skipping])
@pytest.mark.parametrize("policy", ["minmax", "mse"])
def test_rounding_in_place_equals_the_converted_graph(network, policy, no_grad):
    torch.manual_seed(0)
    graph, pictures = prepared(network()), images()
    collect(graph, pictures)
    simulate.choose(graph, policy)
    with simulate.rounded(graph):
        ours = [graph(p) for p in pictures]
    with quiet():
        converted = quantize.convert(graph)
    for got, picture in zip(ours, pictures, strict=True):
        torch.testing.assert_close(got, converted(picture), rtol=0, atol=1e-6)


def test_the_graph_stays_as_it_was(no_grad):
    torch.manual_seed(0)
    network = Chain()
    graph, pictures = prepared(network), images()
    kept = dict(graph._modules)
    collect(graph, pictures)
    with pytest.raises(ZeroDivisionError), simulate.rounded(graph):
        raise ZeroDivisionError
    assert graph._modules == kept
    with simulate.in_float(graph):
        torch.testing.assert_close(graph(pictures[0]), network(pictures[0]))


def test_rounding_by_hand():
    # steps of 0.5 from -2 (stored -128) to 125.5 (stored 127)
    rounded = simulate.Rounded(0.5, -124, count=True)
    got = rounded(torch.tensor([-3.0, -2.2, 0.0, 0.26, 0.24, 125.7, 126.0]))
    assert got.tolist() == [-2.0, -2.0, 0.0, 0.5, 0.0, 125.5, 125.5]
    assert (rounded.clipped, rounded.values) == (2, 7)  # half a step beyond the ends is rounding, not clipping


def test_a_value_that_is_moved_is_counted_once(no_grad):
    class Moving(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, image):
            x = self.conv(image)
            return torch.cat([nn.functional.max_pool2d(x, 2), x[:, :, ::2, ::2]], 1)

    graph = prepared(Moving())
    collect(graph, images(3))
    (observer,) = simulate.ranges(graph).values()
    assert observer.counts.sum() == 3 * 2 * 8 * 8


def test_tensors_are_named_by_their_layers(no_grad):
    graph = prepared(Chain())
    assert list(simulate.tensors(graph).values()) == ["first", "depthwise", "last"]
