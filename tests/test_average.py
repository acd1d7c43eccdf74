"""The script that averages trainings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from edgeseg.models.checkpoint import PERSON, ModelCard, load_checkpoint, save_checkpoint
from tests.test_docs import load_script

average = load_script("average")


def saved(
    path: Path,
    value: float,
    training: str,
    *,
    classes: tuple[str, ...] = PERSON,
    person: int | None = 1,
    activation: str = "relu",
) -> str:
    card = ModelCard("enet", {"activation": activation}, classes, person, size=(32, 32), training=training)
    network = card.build()
    for tensor in network.state_dict().values():
        tensor.fill_(value)
    save_checkpoint(path, network, card)
    return str(path)


def test_mean_of_weights_and_statistics_with_the_card_of_the_last(tmp_path: Path) -> None:
    files = [saved(tmp_path / f"{n}.safetensors", n, f"training {n}") for n in (1, 2, 6)]
    out = str(tmp_path / "mean.safetensors")
    assert CliRunner().invoke(average.main, [out, *files]).exit_code == 0
    model = load_checkpoint(Path(out))
    state = model.network.state_dict()
    assert {float(v.min()) for v in state.values() if v.is_floating_point()} == {3.0}
    assert {float(v.max()) for v in state.values() if v.is_floating_point()} == {3.0}
    assert any(name.endswith("running_var") and torch.all(value == 3) for name, value in state.items())
    first, command = model.card.training.splitlines()
    assert first == "training 6"
    assert command.split() == ["python", "scripts/average.py", out, *files]


def test_weights_count_in_proportion(tmp_path: Path) -> None:
    """(1 * 1 + 3 * 5) / 4 = 4"""
    files = [saved(tmp_path / f"{n}.safetensors", n, "") for n in (1, 5)]
    words = ["--weight", "0.5", "--weight", "1.5", str(tmp_path / "mean.safetensors"), *files]
    assert CliRunner().invoke(average.main, words).exit_code == 0
    model = load_checkpoint(tmp_path / "mean.safetensors")
    assert all(torch.all(value == 4) for value in model.network.state_dict().values() if value.is_floating_point())
    assert model.card.training.split() == ["python", "scripts/average.py", *words]


def head_bias(path: Path) -> list[float]:
    return load_checkpoint(path).network.state_dict()["head.bias"].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("classes", "person", "expected"),
    [(PERSON, 1, [2.5]), (("person", "room"), 0, [1.5]), (("road", "person", "sky"), 1, [2.0, 2.5, 2.0])],
)
def test_logit_of_the_person_is_moved(tmp_path: Path, classes: tuple[str, ...], person: int, expected: list[float]) -> None:
    """The mean of 1 and 3 is 2, and a half more 2.5; one channel is that of the second class."""
    files = [saved(tmp_path / f"{n}.safetensors", n, "", classes=classes, person=person) for n in (1, 3)]
    words = ["--logit", "0.5", str(tmp_path / "mean.safetensors"), *files]
    assert CliRunner().invoke(average.main, words).exit_code == 0
    model = load_checkpoint(tmp_path / "mean.safetensors")
    assert head_bias(tmp_path / "mean.safetensors") == expected
    assert model.card.training.split() == ["python", "scripts/average.py", *words]


def test_without_a_person_there_is_no_logit_to_move(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.safetensors", 1, "", classes=("road", "sky"), person=None)
    result = CliRunner().invoke(average.main, ["--logit", "0.5", str(tmp_path / "mean.safetensors"), file])
    assert result.exit_code == 1
    assert "a person among their classes" in result.output
    assert not (tmp_path / "mean.safetensors").exists()


@pytest.mark.parametrize("weights", [["--weight", "1"], ["--weight", "1", "--weight", "0"]])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, weights: list[str]) -> None:
    files = [saved(tmp_path / f"{n}.safetensors", n, "") for n in (1, 5)]
    result = CliRunner().invoke(average.main, [*weights, str(tmp_path / "mean.safetensors"), *files])
    assert result.exit_code == 2
    assert not (tmp_path / "mean.safetensors").exists()


def test_models_of_other_layers_are_refused(tmp_path: Path) -> None:
    files = [saved(tmp_path / "a.safetensors", 1, ""), saved(tmp_path / "b.safetensors", 1, "", activation="prelu")]
    result = CliRunner().invoke(average.main, [str(tmp_path / "mean.safetensors"), *files])
    assert result.exit_code == 1
    assert "same layers" in result.output
    assert not (tmp_path / "mean.safetensors").exists()


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    result = CliRunner().invoke(average.main, [str(tmp_path / "mean.safetensors"), str(tmp_path / "a.safetensors")])
    assert result.exit_code == 1
    assert "a.safetensors is not a readable safetensors checkpoint" in result.output
