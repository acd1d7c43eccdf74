"""What is wrong with a data folder is counted and named, through `edgeseg train` itself."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgeseg.cli import main
from edgeseg.errors import DataError
from edgeseg.models.checkpoint import ModelCard, save_checkpoint
from edgeseg.train.material import Folders, read_material

TINY = ["deeplabv3plus-mobilenetv2", "--size", "32x32", "--epochs", "1", "--batch", "4"]
for setting in ("width=0.25", "aspp_channels=8", "decoder_channels=8", "low_channels=4"):
    TINY += ["--set", setting]


@pytest.fixture
def data(discs: Path, tmp_path: Path) -> Path:
    """A copy that may be spoiled."""
    return Path(shutil.copytree(discs, tmp_path / "data"))


def smaller_masks(data: Path) -> None:
    for name in ("a_0.png", "b_1.png", "b_23.png"):  # the last one is held back
        cv2.imwrite(str(data / "masks" / name), np.zeros((20, 40), np.uint8))


def no_masks(data: Path) -> None:
    (data / "masks" / "a_2.png").unlink()
    (data / "masks" / "b_5.png").unlink()


def unreadable(data: Path) -> None:
    (data / "images" / "a_4.png").write_bytes(b"no picture at all")
    (data / "masks" / "a_6.png").write_bytes((data / "masks" / "a_6.png").read_bytes()[:-40])


def cut_off(data: Path) -> None:
    """OpenCV reads such a JPEG, and fills it up with grey."""
    frame = cv2.imread(str(data / "images" / "a_0.png"))
    encoded = cv2.imencode(".jpg", frame)[1].tobytes()
    (data / "images" / "a_0.png").write_bytes(encoded[: len(encoded) // 2])


def nobody(data: Path) -> None:
    for path in (data / "masks").iterdir():
        cv2.imwrite(str(path), np.zeros((40, 40), np.uint8))


def nothing(data: Path) -> None:
    shutil.rmtree(data / "images")


SPOILED = [
    (
        smaller_masks,
        r"3 of 18 pictures cannot be used: .*a_0.png is 40x40, its mask 20x40 pixels, and 2 more, which edge",
    ),
    (no_masks, r"2 of 24 pictures in .*images have no mask; the first is a_2.png"),
    (unreadable, r"2 of 18 pictures cannot be used: .*a_4.png is no PNG, .*, and 1 more"),
    (cut_off, r"1 of 18 pictures cannot be used: .*a_0.png is cut off: the JPEG has no end"),
    (nobody, r"none of the 16 training masks shows a person; their pixels must be 255"),
    (nothing, r"has no images/ folder"),
]


@pytest.mark.parametrize(("spoil", "line"), SPOILED, ids=[case[0].__name__ for case in SPOILED])
def test_a_spoiled_folder_is_said_in_one_line(data: Path, tmp_path: Path, spoil: Callable[[Path], None], line: str) -> None:
    spoil(data)
    result = CliRunner().invoke(main, ["train", *TINY, "--data", str(data), "-o", str(tmp_path / "run")])
    assert result.exit_code == 1, result.output
    (said,) = result.stderr.splitlines()
    assert said.startswith("edgeseg: ")
    assert re.search(line, said), said
    assert not (tmp_path / "run").exists()


def test_an_unreadable_background_is_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "wall.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 1 pictures cannot be used: .*wall.jpg is empty"):
        read_material(Folders([data], backgrounds=tmp_path / "rooms"), 64)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Three labelled pictures in train/ and one in val/: ids 0 and 1 in all, 7 and 9 (which are nothing) in some."""
    for part, stem, strange in (("train", "a", 7), ("train", "b", 9), ("train", "c", 255), ("val", "d", 9)):
        ids = np.zeros((32, 32), np.uint8)
        ids[:, 16:], ids[:4, :4] = 1, strange
        for kind, array in (("images", np.full((32, 32, 3), 90, np.uint8)), ("labels", ids)):
            (tmp_path / part / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / part / kind / f"{stem}.png"), array)
    cv2.imwrite(str(tmp_path / "train" / "labels" / "lonely.png"), ids)
    (tmp_path / "classes.csv").write_text("id,name\n0,ground\n1,tree\n2,sea\n3,boat\n255,void\n")
    return tmp_path


def test_what_is_strange_but_can_be_used_is_named_and_counted(scenes: Path) -> None:
    material = read_material(Folders([scenes / "train"], [scenes / "val"]), 64)
    assert [line.replace(str(scenes), "") for line in material.notices] == [
        "/train: 1 of the truth have no picture and are left out; the first is lonely.png",
        "2 label files have ids outside the classes (7, 9), left out; the first is /train/labels/a.png",
        "no training picture has sea, boat: what is not shown cannot be learned",
    ]
    assert sum(material.pixels).tolist() == [3 * (512 - 16), 3 * 512, 0, 0]


def test_persons_alone_are_learned_of_labelled_scenes(data: Path, scenes: Path) -> None:
    """Class 1 is called person here: the masks are the same, and the classes are known or not."""
    (scenes / "classes.csv").write_text("id,name\n0,ground\n1,person\n2,sea\n3,boat\n255,void\n")
    both = [read_material(Folders([data], auxiliary=[scenes / "train"], classes=classes), 64) for classes in (True, False)]
    assert [material.auxiliary for material in both] == [("ground", "person", "sea", "boat"), ()]
    for material in both:
        masks = [sample.mask for sample in material.samples if sample.ids is not None]
        assert [int((mask == 255).sum()) for mask in masks if mask is not None] == [512] * 3


def test_notices_are_told_and_training_goes_on(scenes: Path, tmp_path: Path) -> None:
    folders = ["--data", str(scenes / "train"), "--validation", str(scenes / "val")]
    result = CliRunner().invoke(main, ["train", *TINY, *folders, "-o", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert "no training picture has sea, boat: what is not shown cannot be learned" in lines
    assert lines[-1].startswith("epoch 1 ")
    assert (tmp_path / "run" / "last.safetensors").is_file()


def test_a_beginning_of_another_architecture_is_said(data: Path, tmp_path: Path) -> None:
    card = ModelCard("enet", {"activation": "relu"})
    save_checkpoint(tmp_path / "enet.safetensors", card.build(), card)
    arguments = [*TINY, "--data", str(data), "--initial", str(tmp_path / "enet.safetensors"), "-o", str(tmp_path / "run")]
    result = CliRunner().invoke(main, ["train", *arguments])
    assert result.exit_code == 1
    assert "the model to begin from is of another architecture" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()
