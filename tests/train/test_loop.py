from __future__ import annotations

import csv
import dataclasses
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgeseg.errors import ModelError, UsageError
from edgeseg.models.arguments import parse_arguments
from edgeseg.models.checkpoint import ModelCard, load_model
from edgeseg.train.loop import time_left, train
from edgeseg.train.material import Folders
from edgeseg.train.run import train_model
from edgeseg.train.samples import Augmentation, Sample
from edgeseg.train.schedule import Schedule
from tests.train.tiny import learn

CARD = ModelCard("enet", {"activation": "relu"}, size=(32, 32), name="tiny")
ALONE = Augmentation(composite=0.0)
SHORT = Schedule(epochs=2, batch=4, evaluate_every=1, augmentation=ALONE)


@pytest.mark.slow
def test_training_learns_resumes_and_leaves_a_checkpoint(discs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    lines: list[str] = []
    schedule = Schedule(
        epochs=30, batch=4, evaluate_every=10, augmentation=ALONE, learning_rate=5e-3, average=0.9, sizes=((0.0, 1.0),)
    )
    scores = train_model(
        "enet", Folders([discs]), out, schedule, arguments={"activation": "relu"}, size=(32, 32), tell=lines.append
    )
    assert scores["iou"] > 0.7  # a bright disc on dark is easy; of a person all over it would be about 0.2
    assert set(scores) == {"iou", "iou/a", "iou/b"}
    model = load_model(out / "last.safetensors")
    assert model.card.size == (32, 32)
    assert model.card.accuracy == {k: pytest.approx(v, abs=1e-3) for k, v in scores.items()}
    with (out / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(i + 1) for i in range(30)]
    with pytest.raises(ModelError, match="belongs to a training with architecture enet activation=relu, not deeplab"):
        train_model("deeplabv3plus-mobilenetv2", Folders([discs]), out, SHORT, size=(32, 32), resume=True, tell=lines.append)


@pytest.mark.slow
def test_resume_goes_on_where_it_stopped(discs: Path, tmp_path: Path) -> None:
    folders, arguments = Folders([discs]), {"activation": "relu"}
    train_model("enet", folders, tmp_path / "run", SHORT, arguments=arguments, size=(32, 32), tell=lambda _: None)
    lines: list[str] = []
    longer = Schedule(epochs=3, batch=4, evaluate_every=1, augmentation=ALONE)
    train_model(
        "enet", Folders([discs]), tmp_path / "run", longer, arguments=arguments, size=(32, 32), resume=True, tell=lines.append
    )
    assert lines[1] == "resuming after epoch 2, with other epochs than before"
    assert lines[2].startswith("epoch 3 ")
    assert len(lines) == 3


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nothing to resume"):
        train(CARD, [Sample(np.zeros((32, 32, 3), np.uint8))], [], [], tmp_path / "run", SHORT, resume=True)


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
def test_auxiliary_classes_are_learned_and_cut_off(discs: Path, labelled: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    folders = Folders([discs], [labelled / "val"], [labelled / "train"])
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


@pytest.mark.parametrize(
    ("minutes", "text"), [(0.5, "30 s"), (1.99, "119 s"), (2.4, "2 min"), (99.0, "99 min"), (125.9, "2 h 05 min")]
)
def test_time_left_is_readable(minutes: float, text: str) -> None:
    assert time_left(minutes) == text


def test_a_loss_that_is_no_number_ends_it_with_the_state_before(discs: Path, tmp_path: Path) -> None:
    schedule = dataclasses.replace(SHORT, learning_rate=1e30, precision="float32", sizes=((0.0, 1.0),), warmup=0.0)
    with pytest.raises(ModelError, match=r"the loss is nan in epoch 1; give a lower --rate"):
        train_model("enet", Folders([discs]), tmp_path / "run", schedule, size=(32, 32), tell=lambda _: None)
    assert (tmp_path / "run" / "log.csv").read_text() == "epoch,seconds,loss,learning_rate,val_iou\n"


def test_accumulated_batches_need_pictures_enough(discs: Path, tmp_path: Path) -> None:
    schedule = dataclasses.replace(SHORT, batch=4, accumulate=5)
    with pytest.raises(UsageError, match=r"5 batches of 4 are more than the 16 pictures of an epoch; give less to --batch"):
        train_model("enet", Folders([discs]), tmp_path / "run", schedule, size=(32, 32), tell=lambda _: None)


def test_the_clock_ends_a_training_and_it_is_judged(tmp_path: Path) -> None:
    """A hundred thousand epochs in a second and a half, none of them due to be judged; resumed, it has no time left."""
    lines = learn(tmp_path, epochs=100_000, minutes=0.025, evaluate_every=100_000)
    assert lines[-1].count("iou") == 2
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert 1.5 <= state["seconds"] < 60
    assert 0.005 <= state["rows"][-1]["learning_rate"] / 0.02 < 0.1  # by epochs the schedule would have hardly begun
    assert learn(tmp_path, epochs=100_000, minutes=0.025, evaluate_every=100_000, resume=True) == [
        f"resuming after epoch {len(lines)}"
    ]


def test_a_clock_that_runs_out_between_two_epochs_does_not_leave_the_last_one_unjudged(tmp_path: Path) -> None:
    """An epoch takes milliseconds; what is done with its rows takes until after the end."""
    lines = learn(tmp_path, epochs=100_000, minutes=0.025, records=[lambda rows, ended: time.sleep(1.6)])
    assert lines[-1].count("iou") == 2
    assert len(lines) <= 2
