from pathlib import Path

import pytest

from edgeseg import assets
from edgeseg.errors import ModelError, ShapeError, UsageError
from edgeseg.report import catalogue, costs
from tests.runtime.tiny_models import write_onnx

ASSET = assets.Asset(
    name=assets.DEFAULT,
    architecture="enet",
    description="People before a camera.",
    size=(144, 256),
    params=1_000_000,
    macs=250_000_000,
    accuracy={"iou/val": 0.9},
    licence="research",
    checkpoint=Path("x"),
    files={("tflite", "int8"): Path(__file__), ("onnx", "int8"): Path("missing")},
    sha256={},
)


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setattr(catalogue.importlib.util, "find_spec", lambda name: None)


def test_trained_models_are_listed_without_torch(monkeypatch, without_torch):
    monkeypatch.setattr(assets, "trained", lambda: {assets.DEFAULT: ASSET})
    (row,) = catalogue.list_models()
    assert (row["name"], row["trained"], row["default"]) == (assets.DEFAULT, True, True)
    assert (row["params"], row["macs"], row["flops"], row["size_hw"]) == (1_000_000, 250_000_000, 500_000_000, [144, 256])
    assert [f["size_bytes"] for f in row["files"]] == [Path(__file__).stat().st_size]  # a missing file is not offered
    text = catalogue.to_table([row])
    for needle in (
        "trained, the default",
        "1.00 M params, 250 MMAC at 144x256",
        "iou/val 0.900",
        "licence: research",
        "int8 tflite",
    ):
        assert needle in text


def test_architectures_are_counted(monkeypatch):
    monkeypatch.setattr(assets, "trained", dict)
    rows = {row["name"]: row for row in catalogue.list_models()}
    assert {"enet", "deeplabv3plus-mobilenetv2"} <= rows.keys()
    # ENet with one channel in place of 19: 18 x (16 x 4 weights and a bias) fewer than 363,618 (test_cost).
    assert rows["enet"]["params"] == 363_618 - 18 * 65
    assert "untrained" in catalogue.to_table([rows["enet"]])


def test_layers_of_one_model():
    cost = catalogue.count_model("enet", (64, 64))
    # The head: 32x32 pixels, 16 channels, a 2x2 kernel, one channel of logits.
    assert [line.split()[:4] for line in costs.to_table(cost).splitlines() if line.startswith("head")] == [
        ["head", "ConvTranspose2d", "65", "0.066"]
    ]
    assert "Not counted: " in costs.to_table(cost)
    as_json = costs.to_json(cost)
    assert (as_json["flops"], as_json["size_hw"]) == (2 * cost.macs, [64, 64])
    assert sum(layer["macs"] for layer in as_json["layers"]) == cost.macs


@pytest.mark.parametrize(("name", "size", "error"), [("nobody", None, ModelError), ("enet", (60, 64), ShapeError)])
def test_models_that_cannot_be_counted(name, size, error):
    with pytest.raises(error, match=r"nobody|--size 64x64"):
        catalogue.count_model(name, size)


def test_a_file_is_counted_at_its_own_size(tmp_path):
    path = str(write_onnx(tmp_path / "m.onnx"))
    assert catalogue.count_model(path).size == (32, 32)
    with pytest.raises(UsageError, match="leave out --size"):
        catalogue.count_model(path, (64, 64))
