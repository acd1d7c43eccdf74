"""Data folders of a few pixels with truth that is known, and predictors whose answers are known."""

import cv2
import numpy as np
import pytest

from edgeseg.errors import DataError
from edgeseg.train.evaluate import evaluate, to_table
from edgeseg.train.truth import read_truth

PERSON = ("background", "person")
ROAD = ("Road", "Car", "Sky")


def write(folder, stem, picture, truth, kind="masks"):
    for part, array in (("images", picture), (kind, truth)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / part / f"{stem}.png"), np.asarray(array, np.uint8))


@pytest.fixture
def people(tmp_path):
    """Two pictures of 2x4: the right half is a person and bright; then an empty room. The mask is soft."""
    picture = np.zeros((2, 4, 3))
    picture[:, 2:] = 255
    write(tmp_path, "a", picture, [[0, 127, 128, 255]] * 2)
    write(tmp_path, "b", np.zeros((2, 4, 3)), np.zeros((2, 4)))
    return tmp_path


def bright(frame):
    return (frame[..., 0] > 100).astype(int)


def test_a_binary_folder_by_hand(people):
    truth = read_truth(people, PERSON, 1)
    assert (truth.classes, truth.binary) == (PERSON, True)
    result = evaluate(bright, truth, 1)
    assert result["images"] == 2
    assert result["iou"] == {"background": 1.0, "person": 1.0}
    # All person: TP 4, FP 12 in the two pictures together.
    assert evaluate(lambda frame: np.ones(frame.shape[:2], int), truth, 1)["iou"] == {"background": 0.0, "person": 4 / 16}


def test_the_person_may_be_any_class_of_the_model(people):
    first = read_truth(people, ("person", "background"), 0)
    assert evaluate(lambda frame: 1 - bright(frame), first, 0)["iou"]["person"] == 1.0
    many = read_truth(people, ("sky", "car", "dog", "person"), 3)
    assert evaluate(lambda frame: 3 * bright(frame) + (1 - bright(frame)), many, 3)["iou"]["person"] == 1.0


def test_limit_and_progress(people):
    seen = []
    assert evaluate(bright, read_truth(people, PERSON, 1), 1, limit=1, on_image=lambda: seen.append(1))["images"] == 1
    assert seen == [1]


def test_labels_are_matched_by_name_and_void_is_not_judged(tmp_path):
    (tmp_path / "classes.csv").write_text("id,name,colour\n0,sky,#000\n1,road,#111\n5,car,#222\n11,Unlabelled,#333\n")
    write(tmp_path / "val", "a", np.zeros((2, 3, 3)), [[0, 1, 5], [11, 255, 77]], "labels")
    truth = read_truth(tmp_path / "val", ROAD, None)
    ((_, ids),) = truth.load()
    # sky is the model's 2, road 0, car 1; void, 255 and an id without a name are not judged
    assert ids.tolist() == [[2, 0, 1], [255, 255, 255]]
    result = evaluate(lambda frame: np.array([[2, 0, 0], [0, 0, 0]]), truth, None)
    assert result["iou"] == {"Road": 0.5, "Car": 0.0, "Sky": 1.0}
    assert result["pixel_accuracy"] == pytest.approx(2 / 3)


def test_labels_of_many_classes_judge_a_person_model(tmp_path):
    (tmp_path / "classes.csv").write_text("id,name\n0,background\n1,cat\n15,person\n")
    write(tmp_path, "a", np.zeros((1, 4, 3)), [[0, 1, 15, 255]], "labels")
    ((_, ids),) = read_truth(tmp_path, PERSON, 1).load()
    assert ids.tolist() == [[0, 0, 1, 255]]


def test_labels_without_names_are_the_models_ids(tmp_path):
    write(tmp_path, "a", np.zeros((1, 4, 3)), [[0, 1, 2, 255]], "labels")
    ((_, ids),) = read_truth(tmp_path, ROAD, None).load()
    assert ids.tolist() == [[0, 1, 2, 255]]


def broken(tmp_path, how):
    image = np.zeros((2, 2, 3))
    match how:
        case "no folders":
            pass
        case "masks only":
            write(tmp_path, "a", image, np.zeros((2, 2)))
        case "lonely":
            write(tmp_path, "a", image, np.zeros((2, 2)), "labels")
            (tmp_path / "labels" / "a.png").rename(tmp_path / "labels" / "b.png")
        case "sizes":
            write(tmp_path, "a", image, np.zeros((3, 2)), "labels")
        case "three channels":
            write(tmp_path, "a", image, np.zeros((2, 2, 3)), "labels")
        case "no picture":
            write(tmp_path, "a", image, np.zeros((2, 2)), "labels")
            (tmp_path / "images" / "a.png").write_text("not a picture")
        case "foreign classes":
            write(tmp_path, "a", image, np.zeros((2, 2)), "labels")
            (tmp_path / "classes.csv").write_text("id,name\n0,Zebra\n")
        case "bad classes.csv":
            write(tmp_path, "a", image, np.zeros((2, 2)), "labels")
            (tmp_path / "classes.csv").write_text("number,name\n0,Road\n")
        case "id too large":
            write(tmp_path, "a", image, np.zeros((2, 2)), "labels")
            (tmp_path / "classes.csv").write_text("id,name\n300,Road\n")


BROKEN = [
    ("no folders", PERSON, 1, "images"),
    ("masks only", ROAD, None, "knows no person"),
    ("lonely", ROAD, None, "a.png"),
    ("sizes", ROAD, None, "3x2"),
    ("three channels", ROAD, None, "one channel"),
    ("no picture", ROAD, None, "is no PNG, JPEG"),
    ("foreign classes", ROAD, None, "Zebra"),
    ("foreign classes", PERSON, 1, "no class named 'person'"),
    ("bad classes.csv", ROAD, None, "id and name"),
    ("id too large", ROAD, None, "0 to 255"),
]


@pytest.mark.parametrize(("how", "classes", "person", "needle"), BROKEN)
def test_folders_that_cannot_be_used(tmp_path, how, classes, person, needle):
    broken(tmp_path, how)
    with pytest.raises(DataError, match=needle):
        list(read_truth(tmp_path, classes, person).load())


def test_probabilities_give_an_average_precision(people):
    truth = read_truth(people, PERSON, 1)
    assert evaluate(bright, truth, 1)["average_precision"] is None
    assert evaluate(lambda frame: (bright(frame), bright(frame) * 0.9), truth, 1)["average_precision"] == 1.0
    # All 16 pixels alike: the share of the four that are person.
    flat = evaluate(lambda frame: (bright(frame), np.full(frame.shape[:2], 0.5)), truth, 1)
    assert flat["average_precision"] == 0.25
    assert "AP              0.2500" in to_table(flat)


def test_the_table_shows_what_is_not_known(people):
    text = to_table(evaluate(bright, read_truth(people, PERSON, 1), 1))
    assert text.splitlines()[0] == "2 images"
    assert "IoU person      1.0000" in text
    empty = {"images": 1, "iou": {"a": None}, **dict.fromkeys(("miou", "fwiou", "pixel_accuracy", "f1", "boundary_f"))}
    assert "IoU a           -" in to_table(empty)
