"""Recipes as text: what they say, and the one line about what they cannot say."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeseg.commands.compress import compress
from edgeseg.errors import UsageError
from edgeseg.recipes.budget import Budget, Floor
from edgeseg.recipes.recipe import PRESETS, load_recipe, parse_recipe, presets
from edgeseg.recipes.steps import Export, Finetune, Prune, Qat

PRUNE = '[[step]]\nkind = "prune"\n'
TABLES = """
[budget]
macs = 60e6
limits = ["params <= 0.5"]
[floor]
metric = "iou/a"
min = 0.9
[[step]]
kind = "prune"
macs = 0.4
importance = "l1"
protected = ["backbone.stem", "head"]
[[step]]
kind = "finetune"
epochs = 3
teacher = "none"
[[step]]
kind = "qat"
[[step]]
kind = "export"
formats = ["onnx"]
"""


def test_tables() -> None:
    recipe = parse_recipe(TABLES, "mine")
    assert recipe.steps == (
        Prune(macs=0.4, importance="l1", protected=("backbone.stem", "head")),
        Finetune(epochs=3, teacher="none"),
        Qat(),
        Export(formats=("onnx",)),
    )
    assert recipe.budget == Budget({"params": 0.5, "macs": 60e6})
    assert recipe.floor == Floor("iou/a", 0.9)
    assert (recipe.precision, recipe.trained_precision) == ("int8", "int8")
    assert [step.title for step in recipe.steps] == [
        "prune (l1)",
        "finetune (3 epochs)",
        "qat (10 epochs, from the original)",
        "export (int8 onnx)",
    ]


def test_expressions_say_the_same() -> None:
    recipe = parse_recipe('budget = ["macs <= 60e6", "params <= 0.5"]\nfloor = "iou/a >= 0.9"\n' + PRUNE, "mine")
    assert recipe.budget == Budget({"macs": 60e6, "params": 0.5})
    assert recipe.floor == Floor("iou/a", 0.9)
    assert recipe.precision == "float32"


REFUSED = [
    ("", "mine has no steps; write [[step]] tables"),
    ("step = 3", "must write its steps as [[step]] tables"),
    ("a =", "recipe mine is not TOML"),
    ('[[step]]\nkind = "shrink"', "step 1 of mine is of the unknown kind 'shrink'; there are: prune, "),
    ("[[step]]\nmacs = 0.5", "step 1 of mine has no kind; there are: prune, "),
    (PRUNE + "ratio = 0.5", "step 1 of mine (prune) has no 'ratio'; there are: kind, macs, "),
    (PRUNE + 'importance = "l3"', "importance must be one of l1, l2, bn, fpgm, taylor, random; got 'l3'"),
    (PRUNE + 'macs = "half"', "macs must be float; got 'half'"),
    (PRUNE + "macs = -1", "macs must be a number from 0 up, got -1"),
    (PRUNE + "macs = inf", "macs must be a number from 0 up, got inf"),
    (PRUNE + "macs = 0", "prune takes macs > 0"),
    (PRUNE + "floor = 2", "a floor from 0 to 1"),
    (PRUNE + "rounds = 0", "rounds must be at least 1, got 0"),
    (PRUNE + "[budget]\nflops = 1", "a budget has no 'flops'"),
    (PRUNE + '[budget]\nlimits = ["flops <= 1"]', "a budget has no 'flops'"),
    (PRUNE + "[budget]\nmacs = true", "macs must be float; got True"),
    (PRUNE + '[budget]\nlatency_ms = 8\ndevice = "no.json"', "there is no device file no.json"),
    (PRUNE + "[budget]\nlatency_ms = 8", "needs a device"),
    (PRUNE + "[floor]\nminimum = 0.9", "the floor has no 'minimum'; there are: metric, min, max_drop"),
    (PRUNE + "[goal]\nmacs = 1", "recipe mine has no 'goal'; there are: step, budget, floor"),
    ('[[step]]\nkind = "export"\n' + PRUNE, "mine: prune comes after export and would undo it; put it before"),
    ('[[step]]\nkind = "qat"\n[[step]]\nkind = "finetune"', "mine: finetune comes after qat and would undo it"),
    ('[[step]]\nkind = "qat"\n[[step]]\nkind = "qat"', "mine has qat twice"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refusals_are_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_recipe(text, "mine")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"there is no recipe pi3; give a TOML file, or one of: eighth, half, jetson, phone"):
        load_recipe("pi3")
    with pytest.raises(UsageError, match=r"there is no recipe some/file.toml"):
        load_recipe("some/file.toml")


def test_the_device_file_is_found_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "pi.json").write_text("{}")
    (tmp_path / "mine.toml").write_text('budget.latency_ms = 8\nbudget.device = "pi.json"\n' + PRUNE)
    assert load_recipe(str(tmp_path / "mine.toml")).budget == Budget({"latency_ms": 8.0}, str(tmp_path / "pi.json"))


@pytest.mark.parametrize("name", presets())
def test_presets_have_a_reason_and_end_in_files(name: str) -> None:
    first = (PRESETS / f"{name}.toml").read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 60
    recipe = load_recipe(name)
    assert isinstance(recipe.steps[-1], Export)
    assert recipe.budget.limits["macs"] < 1
    assert recipe.floor.max_drop is not None


def test_there_is_a_preset_for_each_device_and_three_for_any() -> None:
    assert presets() == ["eighth", "half", "jetson", "phone", "pi4", "pi5", "third"]


def test_the_help_names_every_preset() -> None:
    """It is written out there: help is shown without importing what compresses."""
    (recipe,) = (option for option in compress.params if option.name == "recipe")
    assert f"What to do: {', '.join(presets())}, or a FILE." == recipe.to_info_dict()["help"]
