"""Masks of single weights: which, how many, and that they hold while a network learns."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeseg.compress.sparse import Masks, magnitude, n_of_m
from edgeseg.errors import UsageError
from tests.compress.shapes import Tiny, batches, iou, loss, trained


def test_the_least_go() -> None:
    network = nn.Sequential(nn.Conv2d(2, 2, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -4.0], [-2.0, 3.0]])[:, :, None, None])
    magnitude(network, 0.5)(network)
    assert network[0].weight.flatten().tolist() == [0, -4, 0, 3]


def two_layers() -> nn.Sequential:
    """Weights 1 to 4, and 10, 10, 10, 1."""
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 1, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.arange(1.0, 5)[:, None, None, None])
        network[1].weight.copy_(torch.tensor([10.0, 10, 10, 1])[None, :, None, None])
    return network


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        # root mean squares 2.74 and 8.67: the ones are 0.37 and 0.12, the two 0.73, the three and the tens 1.1 and more
        ("global", [[0, 0, 3, 4], [10, 10, 10, 0]]),
        ("layer", [[0, 2, 3, 4], [10, 10, 10, 0]]),
    ],
)
def test_scopes_by_hand(scope: str, left: list[list[float]]) -> None:
    network = two_layers()
    magnitude(network, {"global": 3 / 8, "layer": 1 / 4}[scope], scope=scope)(network)  # type: ignore[arg-type]
    assert [layer.weight.flatten().tolist() for layer in network] == left


def test_two_of_four_along_the_input_channels() -> None:
    network = nn.Sequential(nn.Conv2d(8, 1, (1, 2)))
    rows = torch.tensor([[1.0, 8], [2, 7], [-3, 6], [4, 5], [5, 4], [5, 3], [5, -2], [5, 1]])  # (inputs, kernel)
    with torch.no_grad():
        network[0].weight.copy_(rows[None, :, None, :])
    n_of_m(network)(network)
    expected = [[0, 8], [0, 7], [-3, 0], [4, 0], [5, 4], [5, 3], [0, 0], [0, 0]]
    assert network[0].weight[0, :, 0].tolist() == expected


def test_transposed_and_linear_layers_read_along_their_own_axis() -> None:
    network = nn.Sequential(nn.ConvTranspose2d(4, 2, 2), nn.Linear(8, 3))
    n_of_m(network)(network)
    assert ((network[0].weight != 0).sum(0) == 2).all()
    assert ((network[1].weight.reshape(3, 2, 4) != 0).sum(2) == 2).all()


def test_what_is_left_alone_is_named() -> None:
    network = nn.ModuleDict(
        {
            "image": nn.Conv2d(3, 8, 3), "depthwise": nn.Conv2d(8, 8, 3, groups=8), "grouped": nn.Conv2d(8, 8, 1, groups=2),
            "wide": nn.Conv2d(8, 8, 1), "head": nn.Conv2d(8, 1, 1),
        }
    )  # fmt: skip
    masks = n_of_m(network)
    assert masks.left_alone == {
        "image": "its 3 input channels are no multiple of 4", "depthwise": "it is depthwise",
        "grouped": "it is a grouped convolution", "head": "it is protected",
    }  # fmt: skip
    masks(network)
    rows = {row.name: (row.weights, row.zeros, row.reason) for row in masks.layers(network)}
    assert rows["wide"] == (64, 32, "")
    assert rows["head"] == (8, 0, "it is protected")
    assert magnitude(network, 0.5, protected=["w*", "head"]).keep.keys() == {"image", "grouped"}
    assert "depthwise" in magnitude(network, 0.5, depthwise_too=True).keep


@settings(max_examples=25, deadline=None)
@given(sparsity=st.floats(0, 0.99), seed=st.integers(0, 9), scope=st.sampled_from(["global", "layer"]))
def test_the_share_is_kept(sparsity: float, seed: int, scope: str) -> None:
    torch.manual_seed(seed)
    network = Tiny()
    masks = magnitude(network, sparsity, scope=scope)  # type: ignore[arg-type]
    masks(network)
    weights = [network.first[0].weight, network.second[0].weight]
    sizes = [w.numel() for w in weights]
    expected = round(sparsity * sum(sizes)) if scope == "global" else sum(round(sparsity * n) for n in sizes)
    assert sum(row.zeros for row in masks.layers(network)) == expected


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 7), blocks=st.integers(1, 3), seed=st.integers(0, 9), ties=st.booleans())
def test_every_block_keeps_n_and_they_are_the_greatest(n: int, blocks: int, seed: int, ties: bool) -> None:
    m = 8
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(m * blocks, 3, 3))
    if ties:
        network[0].weight.data = network[0].weight.data.sign()
    before = network[0].weight.detach().abs().clone()
    n_of_m(network, n, m)(network)
    kept = (network[0].weight != 0).reshape(3, blocks, m, 9)
    assert (kept.sum(2) == n).all()
    values = before.reshape(3, blocks, m, 9)
    least_kept = values.where(kept, torch.inf).amin(2)
    greatest_gone = values.where(~kept, -torch.inf).amax(2)
    assert (least_kept >= greatest_gone).all()


def test_masks_hold_while_the_network_learns() -> None:
    network = trained()
    before = iou(network)
    masks = magnitude(network, 0.5)
    masks(network)
    zeros = [row.zeros for row in masks.layers(network)]
    optimizer = torch.optim.Adam(network.train().parameters(), 0.01)
    for image, truth in batches(20):
        optimizer.zero_grad()
        loss(network(image), truth).backward()
        optimizer.step()
        masks(network)
    assert [row.zeros for row in masks.layers(network)] == zeros
    assert sum(zeros) == (216 + 576) / 2
    assert iou(network.eval()) > before - 0.05


def test_an_empty_network_has_no_masks() -> None:
    assert magnitude(nn.Sequential(nn.ReLU()), 0.5) == Masks({}, {})


@pytest.mark.parametrize("arguments", [{"sparsity": 1}, {"sparsity": -0.1}, {"sparsity": 0.5, "scope": "all"}])
def test_a_sparsity_that_cannot_be_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="a sparsity is 0 or more and below 1"):
        magnitude(Tiny(), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "m"), [(0, 4), (4, 4), (5, 4)])
def test_a_pattern_that_cannot_be_is_refused(n: int, m: int) -> None:
    with pytest.raises(UsageError, match=rf"0 < N < M; got {n}:{m}"):
        n_of_m(Tiny(), n, m)


def test_every_runtime_that_we_export_for_has_a_word() -> None:
    text = " ".join(magnitude(Tiny(), 0.5).where_it_pays)
    assert all(name in text for name in ("litert int8", "litert float", "onnxruntime", "TensorRT"))
