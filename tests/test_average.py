"""The script that averages trainings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from edgeseg.models.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from tests.test_docs import load_script

average = load_script("average")


def saved(path: Path, value: float, training: str, **arguments: object) -> str:
    card = ModelCard("enet", {"activation": "relu", **arguments}, size=(32, 32), training=training)
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
