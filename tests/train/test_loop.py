from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgeseg.errors import ModelError
from edgeseg.models.checkpoint import ModelCard, load_model
from edgeseg.train.loop import Average, Schedule, learning_rate, train, trainer_size, validate
from edgeseg.train.run import parse_arguments, train_model

CARD = ModelCard("enet", {"activation": "relu"}, size=(32, 32), name="tiny")
SHORT = Schedule(epochs=2, batch=4, evaluate_every=1, composite=0.0)


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
        epochs=20, batch=4, evaluate_every=10, composite=0.0, learning_rate=5e-3, average=0.9, sizes=((0.0, 1.0),)
    )
    scores = train_model("enet", [data], out, schedule, arguments={"activation": "relu"}, size=(32, 32), tell=lines.append)
    assert scores["iou"] > 0.8  # a bright disc on dark is easy
    assert set(scores) == {"iou", "iou/a", "iou/b"}
    model = load_model(out / "last.safetensors")
    assert model.card.size == (32, 32)
    assert model.card.accuracy == {k: pytest.approx(v, abs=1e-3) for k, v in scores.items()}
    with (out / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(i + 1) for i in range(20)]
    with pytest.raises(ModelError, match="not a state of this training"):
        train_model("deeplabv3plus-mobilenetv2", [data], out, SHORT, size=(32, 32), resume=True, tell=lines.append)


@pytest.mark.slow
def test_resume_goes_on_where_it_stopped(data: Path, tmp_path: Path) -> None:
    arguments = {"activation": "relu"}
    train_model("enet", [data], tmp_path / "run", SHORT, arguments=arguments, size=(32, 32), tell=lambda _: None)
    lines: list[str] = []
    longer = Schedule(epochs=3, batch=4, evaluate_every=1, composite=0.0)
    train_model("enet", [data], tmp_path / "run", longer, arguments=arguments, size=(32, 32), resume=True, tell=lines.append)
    assert lines[1] == "resuming after epoch 2"
    assert lines[2].startswith("epoch 3 ")
    assert len(lines) == 3


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nothing to resume"):
        train(CARD, [], [], [], tmp_path / "run", SHORT, resume=True)


def test_validation_by_hand(data: Path) -> None:
    """A network that says "person" everywhere has the person's share of the pixels as its IoU."""

    class Everywhere(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(image), 1, *image.shape[2:])

    from edgeseg.train.data import load, read_folder

    pairs = read_folder(data)[:3]
    share = np.mean([load(pair)[1] > 127 for pair in pairs])
    assert validate(Everywhere(), pairs, (32, 32))["iou"] == pytest.approx(share)  # type: ignore[arg-type]


def test_settings_are_json_where_they_can_be() -> None:
    assert parse_arguments(["width=0.5", "rates=[3, 6]", "activation=relu"]) == {
        "width": 0.5,
        "rates": [3, 6],
        "activation": "relu",
    }
