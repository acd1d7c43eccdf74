from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.errors import UsageError
from edgeseg.models.checkpoint import load_model
from edgeseg.train.material import Folders, count_pixels
from edgeseg.train.run import train_model
from edgeseg.train.samples import Augmentation, Sample
from edgeseg.train.schedule import Schedule

FRAME = np.zeros((2, 4, 3), np.uint8)
SCHEDULE = Schedule(epochs=1, batch=2, evaluate_every=1, augmentation=Augmentation(webcam=False, composite=0.0))

COUNTED = [
    # 8 pixels, the mask is 255 in two and 51 (a fifth) in one
    ("person", Sample(FRAME, np.array([[255, 255, 51, 0], [0] * 4], np.uint8)), 2, [5.8, 2.2]),
    (
        "person with unknown pixels",
        Sample(FRAME, np.array([[255, 255, 0, 0], [0] * 4], np.uint8), np.array([[1, 255, 0, 0], [255, 0, 0, 0]], np.uint8)),
        2,
        [5, 1],
    ),
    ("labels of other classes alone", Sample(FRAME, None, np.zeros((2, 4), np.uint8)), 2, [0, 0]),
    ("classes", Sample(FRAME, None, np.array([[0, 2, 2, 255], [2, 0, 255, 255]], np.uint8)), 4, [2, 0, 3, 0]),
]


@pytest.mark.parametrize(("sample", "classes", "pixels"), [c[1:] for c in COUNTED], ids=[c[0] for c in COUNTED])
def test_pixels_are_counted_by_hand(sample: Sample, classes: int, pixels: list[float]) -> None:
    assert count_pixels(sample, classes).tolist() == pytest.approx(pixels)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Two pictures to learn and one to judge, alike: class 0 on three quarters, 1 on the rest, 2 nowhere."""
    ids = np.zeros((32, 32), np.uint8)
    ids[:, 24:] = 1
    for part, stem in (("train", "a"), ("train", "b"), ("val", "c")):
        for kind, array in (("images", cv2.merge([ids * 200] * 3)), ("labels", ids)):
            (tmp_path / part / kind).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(tmp_path / part / kind / f"{stem}.png"), array)
    (tmp_path / "classes.csv").write_text("id,name\n0,ground\n1,tree\n2,sea\n")
    return tmp_path


def run(scenes: Path, **options: str) -> Path:
    out = scenes / "run"
    folders = Folders([scenes / "train"], [scenes / "val"])
    arguments = {"activation": "relu"}
    train_model("enet", folders, out, SCHEDULE, arguments=arguments, size=(32, 32), tell=lambda _: None, **options)
    return out


def test_the_card_keeps_loss_and_weights(scenes: Path) -> None:
    out = run(scenes, loss="focal(gamma=1)  +  0.2*lovasz", class_weighting="median")
    card = load_model(out / "last.safetensors").card
    assert card.loss == "focal(gamma=1) + 0.2*lovasz"
    assert card.class_weights == pytest.approx((0.5 / 0.75, 0.5 / 0.25, 0), abs=1e-4)  # the median of 3/4 and 1/4 is 1/2


def test_the_default_is_kept_too(scenes: Path) -> None:
    card = load_model(run(scenes) / "last.safetensors").card
    assert (card.loss, card.class_weights) == ("ce + 0.5*jaccard", ())


def test_two_classes_from_labels_are_learned(scenes: Path) -> None:
    """A network of two classes has one logit, and learns the second class: the loss is not that of nothing known."""
    (scenes / "classes.csv").write_text("id,name\n0,ground\n1,road\n")
    out = run(scenes, class_weighting="enet")
    row = (out / "log.csv").read_text().splitlines()[1].split(",")
    assert float(row[2]) > 0.3
    card = load_model(out / "last.safetensors").card
    assert (card.channels, card.person_class, card.loss) == (1, None, "ce + 0.5*jaccard")
    # 1 / ln(1.02 + 3/4) and 1 / ln(1.02 + 1/4)
    assert card.class_weights == pytest.approx((1.7514, 4.1838), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "needle"),
    [({"loss": "ce + mystery"}, "no loss 'mystery'"), ({"class_weighting": "inverse"}, "no class weights 'inverse'")],
)
def test_what_cannot_be_is_refused(scenes: Path, options: dict[str, str], needle: str) -> None:
    with pytest.raises(UsageError, match=needle):
        run(scenes, **options)
    assert not (scenes / "run").exists()
