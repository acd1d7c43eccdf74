"""Whole exports: what is written, what is proven, and that nothing is written where something is wrong."""

import dataclasses
import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from edgeseg.calib.frames import Picture, Pictures, from_folder
from edgeseg.cli import main
from edgeseg.errors import EdgesegError, ExportError, OutputError, ShapeError
from edgeseg.export.calibrated import CalibrationOptions
from edgeseg.export.choices import FLOAT32, INT8
from edgeseg.export.files import Accuracy, export
from edgeseg.export.metadata import read
from edgeseg.models.checkpoint import Model, ModelCard, load_checkpoint, save_checkpoint, weights_sha256
from edgeseg.runtime import open_session

SIZE = (64, 64)
QUICK = CalibrationOptions("mse", corrections=False)  # where calibration is not the subject
CARDS = {
    "deeplab": ModelCard(
        "deeplabv3plus-mobilenetv2",
        {"width": 0.35, "output_stride": 32, "aspp_channels": 16, "decoder_channels": 16, "low_channels": 8},
        name="small",
        size=SIZE,
        accuracy={"iou/none": 0.5},
        licence="research use",
    ),
    "enet": ModelCard("enet", {"activation": "relu"}, name="enet", size=SIZE),
}


def pictures(count=12):
    """Smooth scenes of many colours."""
    random = np.random.default_rng(5)
    made = []
    for i in range(count):
        coarse = random.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        made.append(Picture(f"p{i}", coarse.repeat(12, 0).repeat(12, 1)))
    return Pictures(made[: count // 2], made[count // 2 :])


@functools.cache
def trained_weights(architecture):
    """Two dozen steps towards "what is red", for networks of random weights magnify the noise of int8 without bound."""
    torch.manual_seed(0)
    network = CARDS[architecture].build()
    images = torch.stack([torch.from_numpy(p.frame[:64, :64, ::-1].copy()).permute(2, 0, 1) for p in pictures(16).parity]) / 255
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for part in network.modules():
        if isinstance(part, nn.Dropout2d):
            part.p = 0.0
        elif isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.3
    target = (images[:, :1] > 0.5).float()[:, :, :: network.output_stride, :: network.output_stride]
    network.train()
    for _ in range(24):
        loss = nn.functional.binary_cross_entropy_with_logits(network(images), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.state_dict()


def settled(architecture):
    card = CARDS[architecture]
    network = card.build().eval()
    network.load_state_dict(trained_weights(architecture))
    return Model(network, card, weights_sha256(network.state_dict()))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", CARDS)
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_both_formats(architecture, int8, tmp_path):
    model = settled(architecture)
    written = export(model, pictures(), tmp_path, choices=INT8 if int8 else FLOAT32, accuracy=Accuracy(0.9 if int8 else 0.9999))
    precision = "int8" if int8 else "float32"
    name = model.card.name
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{name}-64x64-{precision}.{f}" for f in ("onnx", "tflite")]
    for file in written:
        spec = read(file.path)
        assert spec == file.spec == open_session(file.path).spec
        assert (spec.model, spec.size, spec.precision, spec.weights_sha256) == (name, SIZE, precision, model.weights_sha256)
        assert (spec.licence, spec.accuracy) == (model.card.licence, model.card.accuracy)
        assert file.size_bytes == file.path.stat().st_size
        assert file.parity.sqnr_db > (10 if int8 else 80)
        assert file.parity.images == 6
        if int8:
            assert spec.input_quantisation.scale == 1 / 255
            assert spec.input_quantisation.zero_point == {"tflite": -128, "onnx": 0}[file.format]
            assert file.ops["float"] <= {"tflite": 0, "onnx": 1}[file.format]  # onnxruntime enlarges bilinearly in float
        else:
            assert file.ops["int8"] == file.ops["quantize"] == 0


@pytest.mark.slow
def test_the_command_on_one_format(tmp_path):
    checkpoint = tmp_path / "best.safetensors"
    model = settled("deeplab")
    save_checkpoint(checkpoint, model.network, model.card)
    out = tmp_path / "out"
    arguments = ["export", str(checkpoint), "--format", "onnx", "-o", str(out), "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["model"], said["params"]) == ("small", sum(p.numel() for p in model.network.parameters()))
    assert (said["kept_float"], said["float_layers"]) == ([], [])
    assert [(pair["a"], pair["b"]) for pair in said["pairs"]] == [("float", "onnx")]
    assert set(said["pairs"][0]) == {"a", "b", "agreement", "miou_delta", "sqnr_db", "max_abs_error"}
    [file] = said["files"]
    assert Path(file["path"]) == out / "small-64x64-float32.onnx"
    assert set(file) == {"path", "format", "dtype", "size_bytes", "parity", "ops", "opset"}
    assert set(file["parity"]) >= {"agreement", "miou_delta", "sqnr_db", "max_abs_error", "reference"}
    assert set(file["ops"]) == {"int8", "float", "transpose", "quantize"}


@pytest.mark.slow
@pytest.mark.skipif("EDGESEG_DATA" not in os.environ, reason="EDGESEG_DATA names no data folder with images/")
def test_real_pictures(tmp_path):
    """A network of random weights on real pictures: both formats carry the same ranges, so they agree with each other."""
    model = settled("deeplab")
    real = from_folder(Path(os.environ["EDGESEG_DATA"]), 16, 8)
    tflite, onnx = export(model, real, tmp_path, choices=INT8, accuracy=Accuracy(force=True))
    assert abs(tflite.parity.sqnr_db - onnx.parity.sqnr_db) < 3


def nan_weights(model):
    model.network.head.weight.data[0, 0] = float("nan")


@pytest.mark.parametrize(
    ("arguments", "change", "error", "message"),
    [
        ({"size": (65, 64)}, None, ShapeError, "--size 64x64"),
        ({}, nan_weights, ExportError, "NaN .* head.weight"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_any_work(tmp_path, arguments, change, error, message):
    model = settled("deeplab")
    if change:
        change(model)
    with pytest.raises(error, match=message):
        export(model, pictures(), tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        export(settled("deeplab"), pictures(), tmp_path / "file")


@pytest.mark.slow
def test_a_file_that_does_not_agree_is_not_written(tmp_path, monkeypatch):
    model = settled("deeplab")
    from edgeseg.export import files

    real = files.compare
    monkeypatch.setattr(files, "compare", lambda *a: dataclasses.replace(real(*a), agreement=0.5))
    with pytest.raises(ExportError, match=r"50\.00% .* less than 98\.00%"):
        export(model, pictures(4), tmp_path, formats=["onnx"])
    assert not list(tmp_path.iterdir())
    assert export(model, pictures(4), tmp_path, formats=["onnx"], accuracy=Accuracy(force=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "no model and no checkpoint"),
        (["enet", "--size", "65x64"], "--size 64x64"),
        (["enet", "--calib", "EMPTY"], "no pictures"),
        (["enet", "--calib", "MISSING"], "does not exist"),
        (["TRUNCATED"], "not a readable safetensors"),
    ],
)
def test_errors_are_one_line(tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "truncated.safetensors").write_bytes(b"\x40\x00\x00\x00\x00\x00\x00\x00{")
    places = {"EMPTY": "empty", "MISSING": "missing", "TRUNCATED": "truncated.safetensors"}
    arguments = [str(tmp_path / places[a]) if a in places else a for a in arguments]
    result = CliRunner().invoke(main, ["export", *arguments, "-o", str(tmp_path / "out")])
    assert (result.exit_code, result.stdout) == (1, "")
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("note: ", "warning: "))]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_nan_is_refused_on_the_way_in(tmp_path):
    model = settled("deeplab")
    nan_weights(model)
    save_checkpoint(tmp_path / "c.safetensors", model.network, model.card)
    with pytest.raises(EdgesegError, match="NaN"):
        load_checkpoint(tmp_path / "c.safetensors")
