"""From a collection to a data folder."""

import csv

import cv2
import numpy as np
import pytest

from edgeseg.errors import DataError, UsageError
from edgeseg.train.data import read_folder, read_sources
from edgeseg.train.import_data import choose, import_data
from edgeseg.train.readers.base import Collection, Item, ItemError, Sample
from edgeseg.train.truth import read_truth
from tests.train.readers.published import GREY, picture

X = 255
IDS = [[0, 1, 2], [2, X, 0]]


def collection(*items, classes=("background", "person", "dog"), person=("person",)):
    return Collection(classes, items, person=person, colours=("#000000", "#ff0000"))


def item(stem, sample):
    def load():
        if isinstance(sample, BaseException):
            raise sample
        return sample

    return Item(stem, f"walk-{stem[0]}", load)


@pytest.fixture
def good(tmp_path):
    return Sample(picture(tmp_path / "source" / "a.jpg"), np.array(IDS, np.uint8))


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED).tolist()


CHOICES = [
    ((), False, [0, 1, 2, X], ["background", "person", "dog"]),
    (["dog", "person"], False, [X, 1, 0, X], ["dog", "person"]),
    (["background", "person"], False, [0, 1, 0, X], ["background", "person"]),
    (["Person", " background "], False, [1, 0, 1, X], ["Person", "background"]),
    ((), True, [0, 255, 0, 0], ["background", "person"]),
    (["dog", "person"], True, [0, 255, 255, 0], ["background", "person"]),
]


@pytest.mark.parametrize(("classes", "person", "stored", "names"), CHOICES)
def test_ids_that_are_stored(classes, person, stored, names):
    choice = choose(collection(), classes, person)
    assert choice.table[[0, 1, 2, X]].tolist() == stored
    assert list(choice.names) == names


@pytest.mark.parametrize(
    ("classes", "person", "needle"),
    [(["cat"], False, "no class cat"), (["dog", "DOG"], False, "twice"), ((), True, "knows no person")],
)
def test_choices_that_are_none(classes, person, needle):
    with pytest.raises(UsageError, match=needle):
        choose(collection(person=()), classes, person)


def test_labels(tmp_path, good):
    out = tmp_path / "out"
    report = import_data(collection(item("a", good)), out)
    assert (report.written, report.already_there, report.skipped, dict(report.left_out)) == (1, 0, {}, {})
    assert (out / "images" / "a.jpg").read_bytes() == good.picture.read_bytes(), "taken over as it is"
    assert read(out / "labels" / "a.png") == IDS
    assert (out / "classes.csv").read_text() == "id,name,colour\n0,background,#000000\n1,person,#ff0000\n2,dog,\n"
    assert (out / "manifest.csv").read_text() == "file,source,width,height\na.jpg,walk-a,3,2\n"
    assert read_sources(out) == {"a.jpg": "walk-a"}
    ((_, ids),) = read_truth(out, ["dog", "background", "person"], None).load()
    assert ids.tolist() == [[1, 2, 0], [0, X, 1]], "by name, not by number"


def test_masks_of_the_person(tmp_path, good):
    out = tmp_path / "out"
    import_data(collection(item("a", good)), out, person=True)
    assert read(out / "masks" / "a.png") == [[0, 255, 0], [0, 0, 0]]
    assert not (out / "classes.csv").exists()
    (pair,) = read_folder(out)
    assert pair.source == "walk-a"


def test_frames_are_written_without_loss(tmp_path):
    frame = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    import_data(collection(item("z1", Sample(frame, np.array(IDS, np.uint8)))), tmp_path / "out")
    assert read(tmp_path / "out" / "images" / "z1.png") == frame.tolist()


def test_longest(tmp_path):
    source = picture(tmp_path / "big.png", 4, 8)
    ids = np.repeat(np.repeat([[0, 1, 2, 1], [2, 2, 0, 0]], 2, axis=0), 2, axis=1).astype(np.uint8)
    import_data(collection(item("big", Sample(source, ids))), tmp_path / "out", longest=4)
    assert read(tmp_path / "out" / "labels" / "big.png") == [[0, 1, 2, 1], [2, 2, 0, 0]]
    assert read(tmp_path / "out" / "images" / "big.png") == [[[GREY] * 3] * 4] * 2


def test_what_cannot_be_used_is_counted_and_the_rest_is_written(tmp_path, good):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    ids = np.array(IDS, np.uint8)
    report = import_data(
        collection(
            item("b", Sample(tmp_path / "broken.jpg", ids)),
            item("c", Sample(good.picture, ids.T)),
            item("d", ItemError("missing pictures", "d.jpg is not there")),
            item("a", good),
            item("a", good),
            item("e", Sample(good.picture, ids, ["cat", "cat"])),
        ),
        tmp_path / "out",
        classes=["background", "person"],
    )
    assert report.written == 2
    assert {reason: len(names) for reason, names in report.skipped.items()} == {
        "unreadable pictures": 1,
        "sizes that differ": 1,
        "missing pictures": 1,
        "names that come twice": 1,
    }
    assert "a.jpg is 2x3, its truth 3x2" in report.skipped["sizes that differ"][0]
    assert dict(report.left_out) == {"dog": 2, "cat": 1}, "in pictures"
    assert sorted(p.name for p in (tmp_path / "out").rglob("*.*")) == sorted(
        ["a.jpg", "a.png", "e.jpg", "e.png", "classes.csv", "manifest.csv"]
    )


def test_an_import_that_was_stopped_goes_on(tmp_path, good):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        import_data(collection(item("a", good), item("b", KeyboardInterrupt())), out)
    assert not (out / "manifest.csv").exists()
    loads = []

    def again():
        loads.append("a")
        return good

    report = import_data(collection(Item("a", "walk-a", again), item("b", good)), out)
    assert (report.written, report.already_there, loads) == (1, 1, [])
    with (out / "manifest.csv").open(newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == ["a.jpg", "b.jpg"]


def test_a_picture_without_truth_is_done_again(tmp_path, good):
    out = tmp_path / "out"
    import_data(collection(item("a", good)), out)
    (out / "labels" / "a.png").unlink()
    assert import_data(collection(item("a", good)), out).written == 1


def test_a_second_set_in_the_same_folder(tmp_path, good):
    out = tmp_path / "out"
    import_data(collection(item("a", good)), out)
    import_data(collection(item("b", good)), out)
    assert read_sources(out) == {"a.jpg": "walk-a", "b.jpg": "walk-b"}
    with pytest.raises(DataError, match="other classes"):
        import_data(collection(item("c", good)), out, classes=["dog"])
    with pytest.raises(DataError, match="holds labels/"):
        import_data(collection(item("c", good)), out, person=True)
    assert not (out / "images" / "c.jpg").exists()


def test_limit_and_progress(tmp_path, good):
    seen = []
    done = import_data(collection(*(item(s, good) for s in "abc")), tmp_path / "out", limit=2, on_item=lambda: seen.append(1))
    assert (done.written, len(seen)) == (2, 2)


def test_more_classes_than_ids():
    with pytest.raises(DataError, match="300 classes"):
        Collection([f"c{i}" for i in range(300)], [])
