"""Which tensors get a range, and which share one."""

import numpy as np
import pytest
import torch
from torch import nn

from edgeseg.export.quiet import quiet

with quiet():
    from edgeseg.calib.observers import MinMax
    from edgeseg.compress import quantize

QUANTISE = "quantized_decomposed.quantize_per_tensor.default"


class Joined(nn.Module):
    """Two branches of very different size, concatenated; then an addition."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
        self.b.weight.data *= 20
        self.last = nn.Conv2d(4, 4, 1)

    def forward(self, image):
        x = torch.cat([torch.relu(self.a(image)), nn.functional.relu6(self.b(image))], 1)
        return torch.relu(x + self.last(x))


class Apart(nn.Module):
    """A large branch, and a small one through operators that only move values, concatenated."""

    def __init__(self):
        super().__init__()
        self.large, self.small = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
        self.large.weight.data *= 20
        self.last = nn.Conv2d(4, 4, 1)

    def forward(self, image):
        small = nn.functional.max_pool2d(torch.relu(self.small(image)), 3, 1, 1)
        return self.last(torch.cat([self.large(image), small], 1))


def graph_of(network, size=(8, 8), keep_float=()):
    with quiet(), torch.no_grad():
        prepared = quantize.prepare(network.eval(), size, MinMax, keep_float)
        for seed in range(4):
            prepared(torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed)))
        return quantize.convert(prepared)


def ranges(graph):
    """Name of what is quantised -> (scale, zero point)."""
    return {n.args[0].name: n.args[1:3] for n in graph.graph.nodes if str(n.target) == QUANTISE}


def test_a_concatenation_and_what_it_joins_share_one_range():
    found = ranges(graph_of(Joined()))
    assert found["relu"] == found["relu6" if "relu6" in found else "hardtanh"] == found["cat"]
    assert found["relu_1"] != found["cat"]


@pytest.mark.parametrize("kept", ["large", "small"])
def test_what_is_joined_with_float_stays_in_float(kept):
    """Else a converter takes the other branch's range for that of all, and cuts off what is larger."""
    assert set(ranges(graph_of(Apart(), keep_float=[kept]))) == {"image", "conv2d_2"}  # the last


def test_nothing_is_quantised_between_a_sum_and_its_activation():
    found = ranges(graph_of(Joined()))
    assert not {"conv2d", "conv2d_1", "add"} & set(found)
    assert "conv2d_2" in found  # it has no activation


def test_the_image_is_exact():
    scale, zero_point = ranges(graph_of(Joined()))["image"]
    byte = np.arange(256)
    assert (np.rint(byte / 255 / scale) + zero_point == byte - 128).all()


def test_weights_have_one_scale_per_channel_and_no_zero_point():
    graph = graph_of(Joined())
    calls = [
        n for n in graph.graph.nodes if "quantize_per_channel.default" in str(n.target) and "dequantize" not in str(n.target)
    ]
    assert len(calls) == 3
    for call in calls:
        scale, zero = (getattr(graph, call.args[i].target) for i in (1, 2))
        weight = graph.get_parameter(call.args[0].target)
        expected = weight.detach().abs().amax((1, 2, 3)) / 127
        torch.testing.assert_close(scale.float(), expected, rtol=1e-5, atol=0)
        assert not zero.any()


def test_ends():
    (scale, zero_point), (_, last_zero_point) = quantize.ends(graph_of(Joined()))
    assert (scale, zero_point) == (1 / 255, -128)
    assert last_zero_point == -128  # a ReLU's output begins at zero


def test_a_fake_quantised_network_is_close_to_the_float_one():
    torch.manual_seed(1)
    network = Joined()
    graph, image = graph_of(network), torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        expected = network(image)
        assert float((graph(image) - expected).abs().max()) < 0.05 * float(expected.abs().max())


@pytest.mark.parametrize("moved", ["max_pool", "pad", "enlarge"])
def test_what_only_moves_values_keeps_their_range(moved):
    class Moving(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, image):
            x = self.conv(image)
            if moved == "max_pool":
                return nn.functional.max_pool2d(x, 2)
            if moved == "pad":
                return nn.functional.pad(x, (1, 1, 1, 1))
            return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")

    assert len(set(ranges(graph_of(Moving())).values())) == 2  # the image's, and one
