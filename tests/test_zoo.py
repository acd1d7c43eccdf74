"""The trained models that ship are whole, say what they are, and work without anything else."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from edgeseg import assets
from edgeseg.errors import ModelError
from edgeseg.export.rewrites import rewrite
from edgeseg.models.checkpoint import load_checkpoint
from edgeseg.report.cost import count
from edgeseg.report.cost_file import count_file
from edgeseg.runtime import Blur, open_session
from edgeseg.runtime.backends import BackendName

NAMES = sorted(assets.trained())
# (name, input size, format, precision) of every file that runs
FILES = [
    (name, size, *kind)
    for name in NAMES
    for size, files in ({assets.trained()[name].size: assets.trained()[name].files} | assets.trained()[name].framings).items()
    for kind in files
]
MOST_MACS = {"person": 100e6, "person-large": 300e6, "person-small": 40e6}


def portrait() -> np.ndarray:
    """Grace Hopper before a flag, the public-domain photograph that matplotlib ships."""
    cbook = pytest.importorskip("matplotlib.cbook")
    frame = cv2.imread(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    assert frame is not None
    return frame


def test_the_larger_input_is_for_the_same_network() -> None:
    small, large = (load_checkpoint(assets.trained()[name].checkpoint) for name in ("person", "person-large"))
    shapes = [{name: value.shape for name, value in model.network.state_dict().items()} for model in (small, large)]
    assert shapes[0] == shapes[1]
    assert np.prod(large.card.size) > 2 * np.prod(small.card.size)


def test_the_models_that_are_promised_ship() -> None:
    assert {"person", "person-large", "person-small", "enet-person", "enet-camvid", "enet-camvid-small"} == set(NAMES)
    assert assets.DEFAULT in NAMES
    for name, most in MOST_MACS.items():
        assert assets.trained()[name].macs <= most
        shapes = [size[0] > size[1] for size in (assets.trained()[name].size, *assets.trained()[name].framings)]
        assert sorted(shapes) == [False, True]  # one for landscape, one for upright frames
    for name in NAMES:
        assert {("tflite", "int8"), ("onnx", "int8")} <= set(assets.trained()[name].files)


@pytest.mark.parametrize("name", NAMES)
def test_training_begins_from_what_a_command_before_wrote_or_the_card_explains(name: str) -> None:
    card = (assets.FOLDER / f"{name}.md").read_text()
    training = card[card.index("## Training") : card.index("Machine:")]
    written: set[str] = set()  # files, and folders that `-o` names
    for words in (line.split() for line in training.splitlines() if line.startswith("    ")):
        if words[0] == "edgeseg":
            begins = {word for word in words if word.endswith((".safetensors", ".pth"))}
            unknown = {file for file in begins if not written & {file, file.rpartition("/")[0]}}
            assert [file for file in unknown if f"- `{file}`: " not in training] == []
            written.add(words[words.index("-o") + 1].rstrip(":"))
        else:
            written.update(words)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_those_of_the_index(name: str) -> None:
    asset = assets.trained()[name]
    assert assets.verify(asset) == []
    assert set(asset.sha256) == {asset.checkpoint.name, *(path.name for path in asset.paths)}
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


@pytest.mark.parametrize("name", NAMES)
def test_files_name_the_layers_that_multiply(name: str) -> None:
    """So that a report of a file speaks of the network's layers; one that a file cuts in two is NAME and NAME:2."""
    asset = assets.trained()[name]
    layers = {path for path, _ in rewrite(load_checkpoint(asset.checkpoint).network).named_modules()}
    for path in asset.paths:
        named = {layer.name.partition(":")[0] for layer in count_file(path).layers if layer.macs}
        assert len(named) > 20
        assert sorted(named - layers) == []


@pytest.mark.parametrize(("name", "size", "format", "precision"), FILES)
def test_a_file_says_where_it_comes_from_and_works(name: str, size: tuple[int, int], format: str, precision: str) -> None:
    asset = assets.trained()[name]
    files = asset.files if size == asset.size else asset.framings[size]
    session = open_session(files[format, precision])
    spec = session.spec
    assert (spec.model, spec.size, spec.precision) == (name, size, precision)
    assert spec.macs == count(load_checkpoint(asset.checkpoint).network, size).macs
    assert spec.weights_sha256 == load_checkpoint(asset.checkpoint).weights_sha256
    assert spec.licence
    if spec.person_class is None:
        assert session.class_ids(portrait()).max() < len(spec.classes)
        return
    matte = session.matte(portrait())
    h, w = matte.shape
    assert (matte[h // 2 :, w // 3 : 2 * w // 3] > 0.5).mean() > 0.95  # uniform and face
    assert (matte[: h // 8, : w // 8] > 0.5).mean() < 0.2  # the flag, upper left


@pytest.mark.parametrize("backend", ["litert", "ort"])
def test_the_default_model_takes_the_framing_of_the_frame(backend: BackendName) -> None:
    session = open_session(backend=backend)
    upright = portrait()
    wide = np.zeros((90, 160, 3), np.uint8)
    height, width = session.for_frame(upright).spec.size
    assert height > width
    height, width = session.for_frame(wide).spec.size
    assert height < width
    with Blur(session, keyframes="every", background="#00ff00") as blur:
        assert (blur(upright)[0, 0] == (0, 255, 0)).all()


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
