from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from edgeseg.compress.choose import Candidate, candidates, choose
from edgeseg.compress.substitute import layer_macs, substitute
from edgeseg.errors import UsageError
from edgeseg.models.rewrites import Separable

SIZE = (16, 16)  # 256 pixels


def network() -> nn.Sequential:
    """MACs a pixel: stem 27 * 8 = 216, then 576, 320 and 256, at last 16; together 1384."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, (5, 1), padding=(2, 0)), nn.ReLU(),
        nn.Conv2d(8, 16, 1), nn.ReLU(),
        nn.Conv2d(16, 1, 1),
    )  # fmt: skip


def separable(layer: str, multiplier: int = 1) -> dict[str, Any]:
    return {"layer": layer, "rewrite": {"kind": "separable", "multiplier": multiplier}}


def test_candidates_by_hand() -> None:
    """3x3: 8 * 9 + 64 = 136 with one kernel, 272 with two, 408 with three; 5x1: 104, 208, and 312 saves less than a fifth. The
    1x1 has 128: 24 a rank, and 4 ranks take 96; 5 ranks would save less than a fifth.
    """
    found = candidates(network(), SIZE, multipliers=(1, 2, 3), energies=())
    assert [(c.layer, c.rewrite["multiplier"], c.macs_saved // 256) for c in found] == [
        ("2", 1, 440), ("2", 2, 304), ("2", 3, 168), ("4", 1, 216), ("4", 2, 112),
    ]  # fmt: skip
    dense = network()
    with torch.no_grad():  # of rank 8 with equal powers: a rank for each eighth that shall stay
        dense[6].weight.copy_(torch.eye(16, 8)[:, :, None, None])
    found = candidates(dense, SIZE, multipliers=(), energies=(0.2, 0.5, 0.9))
    assert [(c.layer, c.rewrite, c.macs_saved // 256) for c in found] == [
        ("6", {"kind": "low_rank", "rank": 4}, 128 - 96),
        ("6", {"kind": "low_rank", "rank": 2}, 128 - 48),
    ]


LOST = {("2", 1): 0.30, ("2", 2): 0.05, ("4", 1): 0.02, ("4", 2): 0.0}


def score(tried: nn.Module) -> float:
    """1 less what each substituted layer costs, by the table."""
    layers = [(name, layer) for name, layer in tried.named_children() if isinstance(layer, Separable)]
    return 1 - sum(LOST[name, layer.depthwise.out_channels // 8] for name, layer in layers)


FOUND = [
    Candidate(**row, macs_saved=256 * saved)
    for row, saved in [
        (separable("2"), 440), (separable("2", 2), 304), (separable("4"), 216), (separable("4", 2), 112),
    ]
]  # fmt: skip
# Without a loss first, whatever it saves; then 216 / 0.02 = 10800 a point, 304 / 0.05 = 6080, 440 / 0.3 = 1467.
WHOLE = 256 * (216 + 576 + 320 + 128 + 16)
CHOICES = [
    (WHOLE, None, {}, True),
    (WHOLE - 1, None, {"4": 2}, True),
    (WHOLE - 256 * 400, None, {"4": 2, "2": 2}, True),
    (0, None, {"4": 2, "2": 2}, False),
    (0, 0.96, {"4": 2}, False),
    (WHOLE - 256 * 400, 0.9, {"4": 2, "2": 2}, True),
]


@pytest.mark.parametrize(("target", "floor", "expected", "met"), CHOICES)
def test_the_cheapest_first_until_it_is_enough(target: int, floor: float | None, expected: dict[str, int], met: bool) -> None:
    choice = choose(network(), FOUND, SIZE, target, score=score, floor=floor)
    assert {name: row["multiplier"] for name, row in choice.rewrites.items()} == expected
    assert choice.met == met
    assert choice.score == pytest.approx(1 - sum(LOST[item] for item in expected.items()))
    assert choice.macs == sum(layer_macs(substitute(network(), choice.rewrites, SIZE)[0], SIZE).values())


def test_what_breaks_the_floor_is_passed_over_and_said() -> None:
    """At 0.97 two kernels for layer 2 are too dear, one even more so; layer 4 has been taken before."""
    found = [candidate for candidate in FOUND if candidate.rewrite["multiplier"] == 1 or candidate.layer == "2"]
    choice = choose(network(), found, SIZE, 0, score=score, floor=0.97)
    assert [(step.candidate.layer, step.candidate.loss, step.taken) for step in choice.steps] == [
        ("4", pytest.approx(0.02), True), ("2", pytest.approx(0.05), False), ("2", pytest.approx(0.30), False),
    ]  # fmt: skip
    assert [step.score for step in choice.steps] == pytest.approx([0.98, 0.93, 0.68])
    assert choice.macs == WHOLE - 256 * 216


def test_without_a_score_the_error_on_pictures_counts() -> None:
    """Layer 4 is of rank 1 in every channel, so it loses nothing; layer 2 loses much."""
    dense = network()
    with torch.no_grad():
        dense[4].weight.copy_(torch.rand(8, 8, 1, 1) * torch.rand(1, 8, 5, 1))
    image = torch.rand(2, 3, 16, 16)
    choice = choose(dense, FOUND, SIZE, WHOLE - 1, [image])
    assert [step.candidate.layer for step in choice.steps] == ["4"]
    assert choice.steps[0].candidate.loss == pytest.approx(0, abs=1e-6)
    assert choice.score is None


def test_the_network_is_left_alone() -> None:
    dense = network()
    choose(dense, FOUND, SIZE, 0, score=score)
    assert not any(isinstance(layer, Separable) for layer in dense.modules())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"floor": 0.9}, "a floor needs a score"), ({"floor": 1.5, "score": score}, "scores 1.0000 as it is, below the floor")],
)
def test_floors_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose(network(), FOUND, SIZE, 0, **options)
