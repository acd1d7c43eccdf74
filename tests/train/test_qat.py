"""`edgeseg train --qat`, from data folders to an exported file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from edgeseg.calib.frames import from_folder
from edgeseg.errors import DataError, ModelError, ShapeError
from edgeseg.export.choices import Choices
from edgeseg.export.files import Accuracy, export
from edgeseg.export.quiet import quiet
from edgeseg.models.checkpoint import ModelCard, load_model, save_checkpoint

with quiet():
    from edgeseg.compress.qat import Plan
    from edgeseg.train.qat import train_for_int8

from edgeseg.train.material import Folders
from edgeseg.train.run import train_model
from edgeseg.train.schedule import Schedule

BRIEF = Plan(epochs=1, learning_rate=0.1)
SMALL = {"width": 0.25, "aspp_channels": 16, "decoder_channels": 16, "low_channels": 8}
CARD = ModelCard("deeplabv3plus-mobilenetv2", SMALL, size=(32, 32), name="tiny")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint that was not trained for int8."""
    path = tmp_path_factory.mktemp("float") / "tiny.safetensors"
    torch.manual_seed(0)
    network = CARD.build().train()
    for _ in range(20):
        network(torch.rand(8, 3, 32, 32))  # batch norms get statistics, and no layer dies out
    save_checkpoint(path, network, CARD)
    return str(path)


@pytest.fixture(scope="module")
def result(model: str, discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    lines: list[str] = []
    scores = train_for_int8(model, Folders([discs]), out, BRIEF, batch=4, command="edgeseg train", tell=lines.append)
    assert lines[1] == "measuring ranges on 16 pictures"
    assert [line.split("  ")[0] for line in lines[2:]] == ["before training", "epoch 1"]
    assert set(scores) == {"iou", "iou/a", "iou/b"}
    return out / "last.safetensors"


def test_the_result_is_a_checkpoint_with_ranges(result: Path, model: str) -> None:
    trained, start = load_model(result), load_model(model)
    assert trained.card.ranges["image"] == (pytest.approx(1 / 255), -128)
    assert len(trained.card.ranges) > 60
    assert trained.card.name == "run"
    assert trained.card.training == "edgeseg train"
    assert trained.card.architecture == start.card.architecture
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        distance = (trained.network(image) - start.network(image)).abs().max()
    assert 0 < distance < 1  # trained, a little


def test_what_cannot_be_trained_for_int8_is_said(result: Path, model: str, discs: Path, tmp_path: Path) -> None:
    out = tmp_path / "other"
    with pytest.raises(ModelError, match="is trained for int8 already; begin from the float model"):
        train_for_int8(str(result), Folders([discs]), out, BRIEF)
    with pytest.raises(ModelError, match="enet has fresh weights; train it first"):
        train_for_int8("enet", Folders([discs]), out, BRIEF)
    with pytest.raises(ShapeError, match="use --size 32x32"):
        train_for_int8(model, Folders([discs]), out, BRIEF, size=(33, 33))
    with pytest.raises(ModelError, match="nothing to resume"):
        train_for_int8(model, Folders([discs]), out, BRIEF, resume=True)
    with pytest.raises(DataError, match="has no images/ folder"):
        train_for_int8(model, Folders([tmp_path]), out, BRIEF)
    other = tmp_path / "cat.safetensors"
    save_checkpoint(other, CARD.build(), dataclasses.replace(CARD, classes=("background", "cat")))
    with pytest.raises(ModelError, match=r"the teacher .* knows other classes \(background, cat\)"):
        train_for_int8(model, Folders([discs]), out, BRIEF, teacher=str(other))
    assert not out.exists()


@pytest.mark.slow
def test_training_on_in_float_forgets_the_ranges(result: Path, discs: Path, tmp_path: Path) -> None:
    train_model(str(result), Folders([discs]), tmp_path / "on", Schedule(epochs=1, batch=4), tell=lambda line: None)
    assert load_model(tmp_path / "on" / "last.safetensors").card.ranges == {}


@pytest.mark.slow
def test_the_exported_file_has_the_trained_ranges(result: Path, discs: Path, tmp_path: Path) -> None:
    model = load_model(result)
    pictures = dataclasses.replace(from_folder(discs), calibration=[])  # none is needed
    said: list[str] = []
    [file] = export(
        model,
        pictures,
        tmp_path / "out",
        formats=["onnx"],
        choices=Choices(precision="int8"),
        accuracy=Accuracy(force=True),
        say=said.append,
    )
    assert not any("measuring" in line for line in said)
    graph = onnx.load(file.path).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    found = {
        (np.float32(constants[n.input[1]]), int(constants[n.input[2]]) - 128)
        for n in graph.node
        if n.op_type == "QuantizeLinear"
    }
    trained = {(np.float32(scale), zero_point) for scale, zero_point in model.card.ranges.values()}
    assert found <= trained
    assert len(found) > 40
