from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgeseg.errors import ModelError, UsageError
from edgeseg.models.arguments import parse_arguments
from edgeseg.models.checkpoint import ModelCard, load_model
from edgeseg.train.loop import Average, Held, Schedule, iou, learning_rate, train, trainer_size, validate
from edgeseg.train.run import Folders, train_model
from edgeseg.train.samples import Augmentation

CARD = ModelCard("enet", {"activation": "relu"}, size=(32, 32), name="tiny")
ALONE = Augmentation(composite=0.0)
SHORT = Schedule(epochs=2, batch=4, evaluate_every=1, augmentation=ALONE)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Bright persons in dark rooms, of two sources."""
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for i in range(24):
        mask = np.zeros((40, 40), np.uint8)
        cv2.circle(mask, tuple(map(int, rng.integers(12, 28, 2))), 10, 255, -1)
        frame = np.where(mask[..., None] > 0, 220, 30).astype(np.uint8).repeat(3, 2)
        name = f"{'ab'[i % 2]}_{i}"
        cv2.imwrite(str(tmp_path / "data" / "images" / f"{name}.png"), frame)
        cv2.imwrite(str(tmp_path / "data" / "masks" / f"{name}.png"), mask)
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("progress", "size"), [(0.0, (128, 64)), (0.29, (128, 64)), (0.3, (192, 96)), (0.7, (256, 128)), (1.0, (256, 128))]
)
def test_pictures_grow(progress: float, size: tuple[int, int]) -> None:
    assert trainer_size(progress, (256, 128), Schedule(), 32) == size


def test_learning_rate_rises_then_falls() -> None:
    schedule = Schedule(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(p, schedule) for p in (0.0, 0.05, 0.1, 0.5, 0.9, 1.0)]
    assert rates[0] < rates[1] < rates[2] > rates[3] > rates[4] > rates[5]
    assert rates[3] == pytest.approx(0.5025)
    assert rates[5] == pytest.approx(0.005)


def test_average_by_hand() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(0.0)
    average = Average(layer, decay=0.5)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    average.update(layer)  # decay (1 + 1) / (10 + 1): 0 -> 1 - 2/11
    assert average.values["weight"].item() == pytest.approx(9 / 11)


@pytest.mark.slow
def test_training_learns_resumes_and_leaves_a_checkpoint(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    lines: list[str] = []
    schedule = Schedule(
        epochs=20, batch=4, evaluate_every=10, augmentation=ALONE, learning_rate=5e-3, average=0.9, sizes=((0.0, 1.0),)
    )
    scores = train_model(
        "enet", Folders([data]), out, schedule, arguments={"activation": "relu"}, size=(32, 32), tell=lines.append
    )
    assert scores["iou"] > 0.8  # a bright disc on dark is easy
    assert set(scores) == {"iou", "iou/a", "iou/b"}
    model = load_model(out / "last.safetensors")
    assert model.card.size == (32, 32)
    assert model.card.accuracy == {k: pytest.approx(v, abs=1e-3) for k, v in scores.items()}
    with (out / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(i + 1) for i in range(20)]
    with pytest.raises(ModelError, match="not a state of this training"):
        train_model("deeplabv3plus-mobilenetv2", Folders([data]), out, SHORT, size=(32, 32), resume=True, tell=lines.append)


@pytest.mark.slow
def test_resume_goes_on_where_it_stopped(data: Path, tmp_path: Path) -> None:
    folders, arguments = Folders([data]), {"activation": "relu"}
    train_model("enet", folders, tmp_path / "run", SHORT, arguments=arguments, size=(32, 32), tell=lambda _: None)
    lines: list[str] = []
    longer = Schedule(epochs=3, batch=4, evaluate_every=1, augmentation=ALONE)
    train_model(
        "enet", Folders([data]), tmp_path / "run", longer, arguments=arguments, size=(32, 32), resume=True, tell=lines.append
    )
    assert lines[1] == "resuming after epoch 2"
    assert lines[2].startswith("epoch 3 ")
    assert len(lines) == 3


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nothing to resume"):
        train(CARD, [], [], [], tmp_path / "run", SHORT, resume=True)


class Constant(torch.nn.Module):
    """The same logits at every pixel."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)[None, :, None, None]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(image), -1, *image.shape[2:])


def test_validation_of_a_person_by_hand() -> None:
    """A network that says "person" everywhere: 4 of the 12 known pixels of one picture are, none of the other's."""
    frame = np.zeros((4, 4, 3), np.uint8)
    truth = np.zeros((4, 4), np.uint8)
    truth[0], truth[1] = 1, 255
    held = [Held(frame, truth, "a"), Held(frame, np.zeros((4, 4), np.uint8), "b")]
    scores = validate(Constant(1.0), held, CARD)  # type: ignore[arg-type]
    assert scores == {"iou": pytest.approx(4 / 28), "iou/a": pytest.approx(4 / 12), "iou/b": 0.0}


def test_validation_of_classes_by_hand() -> None:
    """Class 2 everywhere, which half of the picture is: IoU 0, none (absent), 1/2."""
    card = ModelCard("enet", classes=("sky", "sea", "road"), person_class=None, size=(32, 32))
    truth = np.zeros((4, 4), np.uint8)
    truth[2:] = 2
    scores = validate(Constant(0.0, 0.0, 1.0), [Held(np.zeros((4, 4, 3), np.uint8), truth, "a")], card)  # type: ignore[arg-type]
    assert scores == {"miou": pytest.approx(0.25), "iou/sky": 0.0, "iou/road": pytest.approx(0.5)}


def test_iou_of_a_matrix() -> None:
    assert iou(np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]])) == [pytest.approx(3 / 6), pytest.approx(4 / 7), None]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Discs of three classes on the background, one of them void, with a held-back folder beside them."""
    rng = np.random.default_rng(1)
    colours = {0: (30, 30, 30), 1: (0, 0, 230), 2: (0, 230, 0), 11: (230, 230, 230)}
    for part, count in (("train", 16), ("val", 4)):
        for kind in ("images", "labels"):
            (tmp_path / "scenes" / part / kind).mkdir(parents=True)
        for i in range(count):
            ids = np.zeros((40, 40), np.uint8)
            for value, radius in ((1, 14), (2, 10), (11, 3)):
                cv2.circle(ids, tuple(map(int, rng.integers(8, 32, 2))), radius, value, -1)
            frame = np.zeros((40, 40, 3), np.uint8)
            for value, colour in colours.items():
                frame[ids == value] = colour
            cv2.imwrite(str(tmp_path / "scenes" / part / "images" / f"{i}.png"), frame)
            cv2.imwrite(str(tmp_path / "scenes" / part / "labels" / f"{i}.png"), ids)
    (tmp_path / "scenes" / "classes.csv").write_text("id,name\n0,ground\n1,person\n2,tree\n11,void\n")
    return tmp_path / "scenes"


@pytest.mark.slow
def test_several_classes_are_learned_from_labels(labelled: Path, tmp_path: Path) -> None:
    schedule = Schedule(epochs=25, batch=4, evaluate_every=25, learning_rate=1e-2, average=0.9, sizes=((0.0, 1.0),))
    folders = Folders([labelled / "train"], [labelled / "val"])
    scores = train_model(
        "enet", folders, tmp_path / "run", schedule, arguments={"activation": "relu"}, size=(32, 32), tell=lambda _: None
    )
    assert scores["miou"] > 0.4  # of one colour all over it would be 0.2
    card = load_model(tmp_path / "run" / "last.safetensors").card
    assert card.classes == ("ground", "person", "tree")
    assert card.person_class is None


@pytest.mark.slow
def test_auxiliary_classes_are_learned_and_cut_off(data: Path, labelled: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    folders = Folders([data], [labelled / "val"], [labelled / "train"])
    schedule = Schedule(epochs=1, batch=4, evaluate_every=1, framings=((32, 64), (64, 32)))
    arguments = {"width": 0.25, "output_stride": 32, "aspp_channels": 16, "decoder_channels": 16, "low_channels": 8}
    scores = train_model(
        "deeplabv3plus-mobilenetv2", folders, tmp_path / "run", schedule, arguments=arguments, size=(32, 64), tell=lines.append
    )
    assert "3 auxiliary classes" in lines[0]
    assert set(scores) == {"iou", "iou/a", "iou/b", "iou/val"}
    model = load_model(tmp_path / "run" / "last.safetensors")
    assert model.card.channels == 1
    assert model.network(torch.zeros(1, 3, 32, 64)).shape == (1, 1, 8, 16)


def test_labels_need_a_folder_that_is_held_back(labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--validation"):
        train_model("enet", Folders([labelled / "train"]), tmp_path / "run", SHORT, size=(32, 32))


def test_settings_are_json_where_they_can_be() -> None:
    assert parse_arguments(["width=0.5", "rates=[3, 6]", "activation=relu"]) == {
        "width": 0.5,
        "rates": [3, 6],
        "activation": "relu",
    }
