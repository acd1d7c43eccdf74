"""The trained models that ship are whole, say what they are, and work without anything else."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from edgeseg import assets
from edgeseg.errors import ModelError
from edgeseg.models.checkpoint import load_checkpoint
from edgeseg.report.cost import count
from edgeseg.runtime import open_session

NAMES = sorted(assets.trained())
FILES = [(name, *kind) for name in NAMES for kind in assets.trained()[name].files]


def portrait() -> np.ndarray:
    """Grace Hopper before a flag, the public-domain photograph that matplotlib ships."""
    cbook = pytest.importorskip("matplotlib.cbook")
    frame = cv2.imread(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    assert frame is not None
    return frame


def test_the_models_that_are_promised_ship() -> None:
    assert {"person", "enet-person"} <= set(NAMES)
    assert assets.DEFAULT in NAMES
    for name in NAMES:
        assert {("tflite", "int8"), ("onnx", "int8")} <= set(assets.trained()[name].files)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_those_of_the_index(name: str) -> None:
    asset = assets.trained()[name]
    assert assets.verify(asset) == []
    assert set(asset.sha256) == {asset.checkpoint.name, *(path.name for path in asset.files.values())}
    assert asset.checkpoint.stat().st_size < 4e6
    card = (assets.FOLDER / f"{name}.md").read_text()
    headings = ("## Accuracy", "## What it is bad at", "## Training", "## Licence")
    assert [word for word in (*headings, "edgeseg train", "research", *asset.sha256) if word not in card] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_index_says_what_the_checkpoint_is(name: str) -> None:
    asset, model = assets.trained()[name], load_checkpoint(assets.trained()[name].checkpoint)
    cost = count(model.network, asset.size)
    assert (asset.architecture, asset.size, asset.accuracy) == (model.card.architecture, model.card.size, model.card.accuracy)
    assert (asset.params, asset.macs) == (cost.params, cost.macs)


@pytest.mark.parametrize(("name", "format", "precision"), FILES)
def test_a_file_says_where_it_comes_from_and_finds_the_person(name: str, format: str, precision: str) -> None:
    asset = assets.trained()[name]
    session = open_session(asset.files[format, precision])
    spec = session.spec
    assert (spec.model, spec.size, spec.precision, spec.macs) == (name, asset.size, precision, asset.macs)
    assert spec.weights_sha256 == load_checkpoint(asset.checkpoint).weights_sha256
    assert spec.licence
    matte = session.matte(portrait())
    h, w = matte.shape
    assert (matte[h // 2 :, w // 3 : 2 * w // 3] > 0.5).mean() > 0.95  # uniform and face
    assert (matte[: h // 8, : w // 8] > 0.5).mean() < 0.2  # the flag, upper left


def test_verify_names_files_that_have_changed_or_are_gone() -> None:
    asset = assets.trained()[NAMES[0]]
    name = asset.checkpoint.name
    wrong = dataclasses.replace(asset, sha256={**asset.sha256, name: "0" * 64, "gone.onnx": "0" * 64})
    assert assets.verify(wrong) == [name, "gone.onnx"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody", "tflite"), "no trained model named 'nobody' and no such file; there are: .*person"),
        (("person", "tflite", "int4"), "'person' does not ship as int4 tflite"),
    ],
)
def test_what_does_not_ship_is_answered_with_what_does(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        assets.find(*arguments)
