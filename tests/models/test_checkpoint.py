from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgeseg.errors import ModelError, OutputError
from edgeseg.models.checkpoint import METADATA_KEY, ModelCard, load_model, save_checkpoint, weights_sha256

CARD = ModelCard("enet", {"activation": "relu"}, name="mine", accuracy={"iou": 0.5}, size=(64, 96))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    save_checkpoint(tmp_path / "a.safetensors", CARD.build(), CARD)
    return tmp_path / "a.safetensors"


def test_weights_and_card_come_back(path: Path) -> None:
    torch.manual_seed(1)
    network = CARD.build()
    model = load_model(path)
    assert model.card == CARD
    assert not model.network.training
    assert model.weights_sha256 == weights_sha256(network.state_dict())
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in model.network.state_dict().items())


def test_trained_ranges_come_back_exactly(path: Path) -> None:
    card = dataclasses.replace(CARD, ranges={"image": (1 / 255, -128), "relu in cat": (0.1, 3)})
    save_checkpoint(path, load_model(path).network, card)
    assert load_model(path).card == card


@pytest.mark.parametrize("ranges", [{"image": 1.0}, {"image": ("a", "b")}, [1, 2]])
def test_ranges_that_are_none_are_refused(path: Path, ranges: object) -> None:
    save_checkpoint(path, load_model(path).network, dataclasses.replace(CARD, ranges=ranges))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="card that cannot be read"):
        load_model(path)


def test_half_precision_halves_the_file(path: Path) -> None:
    model = load_model(path)
    half = path.with_name("half.safetensors")
    save_checkpoint(half, model.network, CARD, half=True)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    assert load_model(half).network.initial.conv.weight.dtype == torch.float32  # type: ignore[union-attr]


def test_the_hash_follows_the_weights(path: Path) -> None:
    state = load_model(path).network.state_dict()
    before = weights_sha256(state)
    state["initial.conv.weight"][0, 0, 0, 0] += 1
    assert weights_sha256(state) != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "deeplabv3plus-mobilenetv2", "arguments": {}}, "does not fit deeplabv3plus-mobilenetv2"),
        ({"architecture": "nonet"}, "unknown architecture 'nonet'; there are: enet"),
        ({"classes": ("a", "b", "c")}, "1 tensors differ|2 tensors differ|does not fit enet"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(path: Path, change: dict[str, object], message: str) -> None:
    network = load_model(path).network
    save_checkpoint(path, network, dataclasses.replace(CARD, **change))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_nan_is_found_and_named(path: Path) -> None:
    network = load_model(path).network
    with torch.no_grad():
        network.head.weight[0, 0, 0, 0] = torch.nan  # type: ignore[union-attr,index]
    save_checkpoint(path, network, CARD)
    with pytest.raises(ModelError, match=r"NaN or infinite weights in 1 tensors, the first is head\.weight"):
        load_model(path)


def test_what_is_no_checkpoint_is_named(tmp_path: Path, path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    with pytest.raises(ModelError, match="was not written by edgeseg"):
        load_model(foreign)
    save_file({"x": torch.zeros(1)}, foreign, {METADATA_KEY: "{]"})
    with pytest.raises(ModelError, match="card that cannot be read"):
        load_model(foreign)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="not a readable safetensors checkpoint"):
        load_model(path)
    with pytest.raises(ModelError, match=r"no model and no checkpoint file named 'nothing'; models: .*enet"):
        load_model("nothing")


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="file cannot be written"):
        save_checkpoint(tmp_path / "file" / "a.safetensors", CARD.build(), CARD)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_architecture_by_name_is_the_same_every_time() -> None:
    assert load_model("enet").weights_sha256 == load_model("enet").weights_sha256
