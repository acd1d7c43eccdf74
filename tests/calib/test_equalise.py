"""Equalisation keeps the function and evens out the weights."""

import pytest
import torch
from torch import nn

from edgeseg.export.quiet import quiet

with quiet():
    from edgeseg.calib import equalise as eq
    from edgeseg.calib.simulate import in_float

from edgeseg.export.rewrites import rewrite
from edgeseg.models.checkpoint import load_model
from tests.calib.graphs import Chain, Skipping, collect, images, prepared


def layers(graph, pairs):
    """(first, second) layer of each pair, by name."""
    return [tuple(eq._parameter(conv, 1).target.rsplit(".", 1)[0] for conv in (p.first, p.second)) for p in pairs]


@torch.no_grad()
def logits(graph, pictures):
    with in_float(graph):
        return torch.cat([graph(p) for p in pictures])


def test_factors_by_hand():
    first = torch.tensor([4.0, -1.0, 0.0, 9.0]).reshape(4, 1, 1, 1)
    second = torch.tensor([[1.0, 2.0, 5.0, 0.0], [-1.0, -4.0, 5.0, 0.0]]).reshape(2, 4, 1, 1)
    # r1 = 4 1 0 9, r2 = 1 4 5 0: sqrt(r1 / r2), and 1 where a side is zero
    assert eq.factors(first, second, 1).tolist() == [2.0, 0.5, 1.0, 1.0]
    assert eq.factors(first, torch.tensor([1.0, 4.0, 5.0, 0.0]).reshape(4, 1, 1, 1), 4).tolist() == [2.0, 0.5, 1.0, 1.0]


def test_both_sides_are_equal_afterwards():
    torch.manual_seed(0)
    graph = prepared(Chain())
    pairs = eq.find_pairs(graph)
    assert layers(graph, pairs) == [("first", "depthwise"), ("depthwise", "last")]
    before = logits(graph, images())
    assert eq.equalise(graph, pairs) > 1.5
    torch.testing.assert_close(logits(graph, images()), before, rtol=0, atol=1e-5)
    reach = [graph.get_parameter(f"{n}.weight").abs() for n in ("first", "depthwise", "last")]
    first, middle, last = reach[0].amax((1, 2, 3)), reach[1].amax((1, 2, 3)), reach[2].amax((0, 2, 3))
    torch.testing.assert_close(first, middle, rtol=5e-3, atol=0)
    torch.testing.assert_close(middle, last, rtol=5e-3, atol=0)


def test_what_has_two_readers_is_left_alone():
    graph = prepared(Skipping())
    assert layers(graph, eq.find_pairs(graph)) == [("inner", "outer")]


@pytest.mark.parametrize(
    ("scale", "peak", "expected"),
    [
        (0.5, 1.0, 0.5),  # 1 becomes 2, below 3
        (0.1, 1.0, 1 / 3),  # no further than to 3
        (0.1, 3.5, 1.0),  # it was above 3
        (4.0, 2.9, 4.0),
        (0.1, 0.0, 0.1),  # never used
    ],
)
def test_channels_stay_clear_of_a_clip(scale, peak, expected):
    got = eq.clear_of_clip(torch.tensor([scale]), torch.tensor([peak]), 3.0)
    assert got.item() == pytest.approx(expected)


@pytest.mark.parametrize("gain", [1.0, 6.0])
def test_relu6_keeps_its_function(gain):
    torch.manual_seed(0)
    network = Chain(nn.ReLU6)
    network.first.weight.data *= gain
    graph = prepared(network)
    pairs = eq.find_pairs(graph)
    assert [p.ceiling for p in pairs] == [6.0, 6.0]
    before = logits(graph, images())
    collect(graph, images())
    assert eq.equalise(graph, pairs) == 1.0  # nobody looked at the channels
    eq.watch_clips(graph, pairs)
    collect(graph, images())
    assert eq.equalise(graph, pairs) > 1.2
    torch.testing.assert_close(logits(graph, images()), before, rtol=0, atol=1e-5)


def test_restore():
    graph = prepared(Chain())
    before, kept = logits(graph, images()), eq.snapshot(graph)
    eq.equalise(graph, eq.find_pairs(graph))
    eq.restore(graph, kept)
    assert torch.equal(logits(graph, images()), before)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("person", 40), ("enet-person", 50)])
def test_trained_networks_keep_their_function(name, least):
    """In float64: ENet's pooling masks decide by equality, and float32 rounds two equal values apart."""
    graph = prepared(rewrite(load_model(name).network), (64, 64)).double()
    pictures = [p.double() for p in images(4, (64, 64))]
    pairs = eq.find_pairs(graph)
    assert len(pairs) >= least
    eq.watch_clips(graph, pairs)
    before = logits(graph, pictures)
    collect(graph, pictures)
    assert eq.equalise(graph, pairs) > 2
    torch.testing.assert_close(logits(graph, pictures), before, rtol=0, atol=1e-4)
