"""What is known of a recipe before anything runs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from edgeseg.errors import UsageError
from edgeseg.models.checkpoint import Model, ModelCard, load_model
from edgeseg.recipes.budget import Budget
from edgeseg.recipes.estimate import Speed
from edgeseg.recipes.plan import Plan, make_plan, share_out
from edgeseg.recipes.recipe import Recipe
from edgeseg.recipes.steps import Decoder, Finetune, LowRank, Prune, Qat, Separable, Step

OPEN = Prune(importance="l2", rounds=1, round_to=2)


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load_model(tiny)


def planned(model: Model, *steps: Step, speed: Speed | None = None, **limits: float) -> Plan:
    device = "board.json" if "latency_ms" in limits else ""
    return make_plan(Recipe("mine", steps, Budget(limits, device)), model, "tiny", (32, 32), minutes=3, speed=speed)


def test_a_step_without_a_number_goes_as_far_as_the_budget(model: Model) -> None:
    plan = planned(model, OPEN, Finetune(), macs=0.6)
    assert 0.5 * plan.original.macs < plan.rows[0].costs.macs <= 0.6 * plan.original.macs == plan.limits["macs"]
    assert plan.rows[1].costs == plan.rows[0].costs
    assert [row.minutes for row in plan.rows] == [0, 3]
    assert plan.rows[0].kept == ("head keeps its channels: they are the logits",)
    assert any(re.fullmatch(r"stem\.0: 16 -> \d+ channels, without [\d ]+", line) for line in plan.rows[0].details)


def test_two_such_steps_share_the_way(model: Model) -> None:
    plan = planned(model, OPEN, Finetune(), OPEN, macs=0.49)
    share = plan.rows[0].costs.macs / plan.original.macs
    assert 0.6 < share <= 0.7  # the root of 0.49
    assert 0.39 < plan.rows[2].costs.macs / plan.original.macs <= 0.49


def test_bytes_and_milliseconds_are_budgets_too(model: Model) -> None:
    plan = planned(model, OPEN, params=0.5)
    assert 0.3 < plan.rows[0].costs.params / plan.original.params <= 0.5
    plan = planned(model, OPEN, size_bytes=20e3)
    assert 18e3 < plan.rows[0].costs.size_bytes <= 20e3
    slow = Speed(model_macs(model) / 10, "a board")
    plan = planned(model, OPEN, speed=slow, latency_ms=6)
    assert plan.original.latency_ms == pytest.approx(10)
    assert 5 < (plan.rows[0].costs.latency_ms or 0) <= 6
    assert "ms is an estimate" in plan.text()


def model_macs(model: Model) -> int:
    return planned(model, Finetune()).original.macs


def test_other_forms_of_layers(model: Model) -> None:
    """down.0 has 16 x 32 x 3 x 3 weights, or 16 x 3 x 3 + 16 x 32 as depthwise and pointwise, applied to 8 x 8 pixels."""
    plan = planned(model, Separable(multipliers=(1,), macs=0.9), LowRank(layers=("mix.1.0",), energies=(0.5,)), OPEN, macs=0.3)
    before, separable, low_rank, pruned = (costs.macs for costs in (plan.original, *(row.costs for row in plan.rows)))
    assert before - separable == 64 * (16 * 32 * 9 - 16 * 9 - 16 * 32)
    assert plan.rows[0].details[0].startswith("down.0: separable 1, its outputs change by ")
    assert plan.rows[1].details[0].startswith("mix.1.0: low_rank ")
    assert separable > low_rank
    assert pruned <= 0.3 * before
    assert plan.rows[2].details


def test_a_decoder_costs_what_was_saved_before() -> None:
    """Pruning goes where it is told to, and the plan counts what the steps put on top."""
    arguments = {"width": 0.35, "output_stride": 32, "aspp_channels": 16, "decoder_channels": 16, "low_channels": 8}
    card = ModelCard("deeplabv3plus-mobilenetv2", arguments, size=(64, 64))
    network = Model(card.build(), card, "")
    steps = (dataclasses.replace(OPEN, macs=0.5), Decoder(channels=(16, 16, 8, 8)), Finetune())
    plan = make_plan(Recipe("mine", steps, Budget({"macs": 0.9}, "")), network, "small", (64, 64), minutes=3)
    pruned, grown, trained = (row.costs.macs for row in plan.rows)
    assert pruned <= 0.5 * plan.original.macs < plan.original.macs
    assert pruned < grown == trained
    assert plan.rows[1].details == (f"decoder: {pruned / 1e6:.1f} -> {grown / 1e6:.1f} MMAC of the network",)
    with pytest.raises(UsageError, match=r"the budget macs <= .* cannot be met"):
        make_plan(Recipe("mine", steps[1:2], Budget({"macs": 0.1}, "")), network, "small", (64, 64))


def test_steps_that_are_not_needed_do_nothing(model: Model) -> None:
    plan = planned(model, OPEN, macs=1.0)
    assert plan.rows[0].costs.macs == plan.original.macs
    assert plan.rows[0].details == ()


IMPOSSIBLE = [
    ((OPEN,), {"macs": 1e4}, r"the budget macs <= 0\.01 MMAC cannot be met: .* these steps come to 0\.\d+ MMAC"),
    ((OPEN,), {"params": 100}, r"the budget params <= 0\.1 k parameters cannot be met: .* come to [\d.]+ k parameters"),
    ((Finetune(),), {"macs": 0.5}, r"the budget macs <= .* cannot be met"),
    ((dataclasses.replace(OPEN, macs=0.9),), {"macs": 0.5}, r"the budget is macs <= .* prune further, or leave macs out"),
    ((dataclasses.replace(OPEN, macs=0.01),), {}, r"step 1: .* cannot be reached: with every layer at its least"),
    ((dataclasses.replace(OPEN, protected=("backbon",)),), {"macs": 0.5}, r"no layer to protect is named 'backbon'"),
    ((Separable(layers=("head",)),), {}, r"layer head has no form as separable: its kernel is 1x1; low_rank is for those"),
    ((LowRank(layers=("head",)),), {}, r"layer head has no form as low_rank: it gives the logits, or nothing would be saved"),
    ((Separable(layers=("stem.0",)),), {}, r"layer stem.0 has no form as separable: it reads the image"),
    ((Separable(layers=("stem.9",)),), {}, r"there is no layer 'stem.9' for separable; some are: down.0"),
]


@pytest.mark.parametrize(("steps", "limits", "message"), IMPOSSIBLE)
def test_what_cannot_be(model: Model, steps: tuple[Step, ...], limits: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        planned(model, *steps, **limits)


def test_the_time_is_shared_out() -> None:
    steps = [Prune(), Finetune(share=3.0), Qat()]
    assert share_out(steps, 8.0) == [0.0, 6.0, 2.0]
    assert share_out(steps, None) == [0.0, None, None]
    assert share_out([Prune()], 8.0) == [0.0]


def test_the_time_is_estimated_where_there_are_pictures(model: Model) -> None:
    recipe = Recipe("mine", (Finetune(epochs=2),))
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    once, twice = (make_plan(recipe, model, "tiny", (32, 32), pictures=n).minutes for n in (10**5, 10**9))
    assert once is not None
    assert twice is not None
    assert 0 < once < twice
    assert make_plan(recipe, model, "tiny", (32, 32)).minutes is None
    assert all(value.equal(before[name]) for name, value in model.network.state_dict().items())
    assert not model.network.training


def test_the_text_says_it_all(model: Model) -> None:
    text = planned(model, OPEN, Finetune(), macs=0.6).text()
    lines = text.splitlines()
    assert lines[0] == "tiny by mine, at 32x32"
    assert lines[3].startswith("1. prune (l2) ")
    assert any(line.startswith("2. finetune (20 epochs, from the original) ") and line.endswith(" 3.0") for line in lines)
    assert any(line.startswith("budget: macs <= ") for line in lines)
    assert "channels" not in "\n".join(lines[:4])
    assert "backbone.stem.0: 8 -> " not in text
    assert " channels, without " in planned(model, OPEN, macs=0.6).text(verbose=True)
