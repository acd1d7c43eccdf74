from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgeseg.errors import ExportError
from edgeseg.export.folding import fold_traced
from edgeseg.export.rewrites import rewrite
from edgeseg.export.unpooling import mask_for_indices
from tests.networks import Pooled3, SegNetLike, seeded


def test_a_users_network_is_folded_and_gives_the_same() -> None:
    torch.manual_seed(0)
    network = seeded(SegNetLike())
    folded = copy.deepcopy(network)
    assert fold_traced(folded) == ["bn1", "bn2", "bn3"]
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(folded(image)["out"], network(image)["out"], atol=1e-5, rtol=1e-5)


def test_rewritten_it_has_nothing_left_that_no_runtime_takes() -> None:
    torch.manual_seed(0)
    network = seeded(SegNetLike())
    rewritten = rewrite(network)
    left = {type(module) for module in rewritten.modules()}
    assert not left & {nn.BatchNorm2d, nn.ConvTranspose2d, nn.PReLU, nn.MaxUnpool2d}
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(rewritten(image)["out"], network(image)["out"], atol=1e-5, rtol=1e-5)


class Twice(nn.Module):
    """One convolution with two batch norms, and one that something else reads too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.a, self.b = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.other, self.c = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.other(x)
        out: torch.Tensor = self.a(self.conv(x)) + self.b(self.conv(x)) + self.c(y) + y
        return out


def test_shared_convolutions_are_left_alone() -> None:
    assert fold_traced(seeded(Twice())) == []


class Undecided(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_what_cannot_be_traced_is_left_alone() -> None:
    assert fold_traced(Undecided().eval()) == []


def test_another_geometry_of_index_pooling_is_named() -> None:
    with pytest.raises(ExportError, match=r"pool \(MaxPool2d\) pools \(3, 3\) with stride \(3, 3\)"):
        rewrite(Pooled3())
    assert mask_for_indices(nn.MaxPool2d(3), "pool") is None
