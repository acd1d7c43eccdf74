"""Mean errors, and biases without them."""

import pytest
import torch
from torch import nn

from edgeseg.export.quiet import quiet

with quiet():
    from edgeseg.calib.bias import correct_biases, mean_error
    from edgeseg.calib.simulate import choose, in_float, ranges, rounded

from tests.calib.graphs import Chain, Skipping, collect, images, prepared


def test_mean_error_by_hand():
    exact = [torch.tensor([[[[1.0, 2.0]], [[0.0, 0.0]]]]), torch.tensor([[[[3.0, 4.0]], [[0.0, 8.0]]]])]
    coarse = [exact[0] + 1, exact[1] + torch.tensor([3.0, -1.0]).reshape(1, 2, 1, 1)]
    assert mean_error(exact, coarse, 1).tolist() == [2.0, 0.0]


@torch.no_grad()
def mean_of(graph, pictures):
    return torch.cat([graph(p) for p in pictures]).mean((0, 2, 3))


@pytest.mark.parametrize("network", [Chain, Skipping])
def test_logits_have_the_float_mean_afterwards(network):
    """Ranges forty times too wide round most of what is inside to zero; the output's own range is left as it is."""
    torch.manual_seed(1)
    made, pictures = network(), images()
    made.last.weight.data *= 30
    graph = prepared(made)
    collect(graph, pictures)
    choose(graph, "minmax")
    *inner, _ = ranges(graph).values()
    for observer in inner:
        observer.chosen = tuple(40 * end for end in observer.chosen)
    with in_float(graph):
        expected = mean_of(graph, pictures)
    with rounded(graph):
        before = (mean_of(graph, pictures) - expected).abs().max()
    assert before > 0.01
    biases = [name for name, _ in graph.named_parameters() if name.endswith("bias")]
    assert correct_biases(graph, pictures) == len(biases)
    with rounded(graph):
        after = (mean_of(graph, pictures) - expected).abs().max()
    assert after < before / 5


def test_exact_rounding_needs_no_correction():
    """Weights and values on the grid: 127 steps of 1 / 127, pictures in steps of 1 / 255, an output in steps of 1 / 255."""
    conv = nn.Conv2d(3, 3, 1, groups=3)
    conv.weight.data = torch.ones(3, 1, 1, 1)
    conv.bias.data = torch.zeros(3)
    graph = prepared(nn.Sequential(conv))
    collect(graph, [torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8), *images()])
    choose(graph, "minmax")
    assert correct_biases(graph, images()) == 1
    (name,) = (name for name, _ in graph.named_parameters() if name.endswith("bias"))
    torch.testing.assert_close(graph.get_parameter(name).detach(), torch.zeros(3), rtol=0, atol=1e-6)
