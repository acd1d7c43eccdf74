"""What a data folder holds and what is wrong with it, by hand."""

import numpy as np
import pytest

from edgeseg.errors import DataError
from edgeseg.train.survey import open_folder, survey, table
from edgeseg.train.truth import read_truth
from tests.train.readers.published import picture, plane

X = 255


@pytest.fixture
def labels(tmp_path):
    """Two pictures of 2x3: sky 3, road 2, 1 ignored; road 6."""
    for stem, rows in (("walk1", [[0, 0, 0], [1, 1, X]]), ("ride1", [[1, 1, 1], [1, 1, 1]])):
        picture(tmp_path / "images" / f"{stem}.jpg")
        plane(tmp_path / "labels" / f"{stem}.png", rows)
    (tmp_path / "classes.csv").write_text("id,name,colour\n0,sky,#0000ff\n1,road,\n9,void,\n")
    return tmp_path


def test_counts_by_hand(labels):
    folder = open_folder(labels)
    found = survey(folder)
    assert (found.pictures, found.problems) == (2, {})
    assert dict(found.sources) == {"walk": 1, "ride": 1}
    sky, road = table(folder, found)  # void is no class
    assert (sky.name, sky.pixels, sky.share) == ("sky", 3, pytest.approx(3 / 11))
    assert (road.name, road.pixels, road.share) == ("road", 8, pytest.approx(8 / 11))
    # frequencies: sky 3 of the 5 labelled pixels of its picture, road 8 of 11; median 0.66364
    assert sky.median_frequency == pytest.approx((3 / 5 + 8 / 11) / 2 / (3 / 5))
    assert road.median_frequency == pytest.approx((3 / 5 + 8 / 11) / 2 / (8 / 11))


def test_masks(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    plane(tmp_path / "masks" / "a.png", [[0, 127, 128], [255, 0, 0]])
    folder = open_folder(tmp_path)
    found = survey(folder)
    assert [(row.name, row.pixels) for row in table(folder, found)] == [("background", 4), ("person", 2)]
    assert found.problems == {}


def test_without_classes_ids_are_what_is_there(labels):
    (labels / "classes.csv").unlink()
    folder = open_folder(labels)
    assert [(row.id, row.name) for row in table(folder, survey(folder))] == [(0, "class 0"), (1, "class 1")]


def break_size(folder):
    plane(folder / "labels" / "walk1.png", np.zeros((3, 2)))


def break_picture(folder):
    (folder / "images" / "walk1.jpg").write_bytes(b"nothing")


def break_truth(folder):
    plane(folder / "labels" / "walk1.png", np.ones((2, 3, 3)) * [1, 2, 3])


def lose_truth(folder):
    (folder / "labels" / "walk1.png").unlink()


def lose_picture(folder):
    (folder / "images" / "walk1.jpg").unlink()


def add_id(folder):
    plane(folder / "labels" / "walk1.png", [[0, 7, 8], [1, 1, 1]])


def add_class(folder):
    with (folder / "classes.csv").open("a") as file:
        file.write("2,train,\n")


def test_hidden_files_are_no_pictures(labels):
    picture(labels / "images" / ".walk2.part4711.jpg")  # as a killed process leaves it behind
    found = survey(open_folder(labels))
    assert (found.pictures, found.problems) == (2, {})
    assert len(read_truth(labels, ["sky", "road"], None).pairs) == 2


BROKEN = [
    (break_size, "sizes that differ", "walk1.jpg is 2x3, its truth 3x2"),
    (break_picture, "files that cannot be read", "walk1.jpg is no PNG"),
    (break_truth, "files that cannot be read", "walk1.png must be an 8-bit picture"),
    (lose_truth, "pictures without truth", "walk1.jpg"),
    (lose_picture, "truth without a picture", "walk1.png"),
    (add_id, "ids outside the classes", "walk1.png: 7, 8"),
    (add_class, "classes without a pixel", "train"),
]


@pytest.mark.parametrize(("harm", "what", "needle"), BROKEN)
def test_what_is_wrong_is_named(labels, harm, what, needle):
    harm(labels)
    problems = survey(open_folder(labels)).problems
    assert needle in problems.pop(what)[0]
    # sky is in that picture alone: where it cannot be counted, sky is missing as well
    assert problems in ({}, {"classes without a pixel": ["sky"]})


@pytest.mark.parametrize(
    ("text", "needle"),
    [("name\nsky\n", "columns id and name"), ("id,name\nx,sky\n", "numbers"), ("id,name\n256,a\n", "beyond")],
)
def test_classes_that_cannot_be_read(labels, text, needle):
    (labels / "classes.csv").write_text(text)
    with pytest.raises(DataError, match=needle):
        open_folder(labels)


def test_no_data_folder(tmp_path):
    with pytest.raises(DataError, match="no data folder"):
        open_folder(tmp_path)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    assert list(survey(open_folder(tmp_path)).problems) == ["empty folders"]
