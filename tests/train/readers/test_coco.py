"""COCO and COCO-Stuff: annotations drawn over each other, with pixels worked out by hand."""

import pytest

from edgeseg.errors import DataError
from edgeseg.train.readers import open_reader
from edgeseg.train.readers.rle import compress
from tests.train.readers.published import coco, document, picture, square

X = 255


def load(name, source, split=None):
    """{stem: ids as lists}, and the collection."""
    collection = open_reader(name)(source, split)
    return {item.stem: item.load().ids.tolist() for item in collection.items}, collection


# Ids: 0 background, 1 person (category 1), 2 car (category 3). A picture of 3x4.
COCO = [
    ("polygon", [{"category_id": 3, "segmentation": [square(1, 1, 2, 2)]}], [[0, 0, 0, 0], [0, 2, 2, 0], [0, 2, 2, 0]]),
    (
        "two parts that overlap",
        [{"category_id": 1, "segmentation": [square(0, 0, 2, 1), square(1, 0, 2, 1)]}],
        [[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ),
    (
        "small over large, whatever their order",
        [
            {"category_id": 1, "area": 1, "segmentation": [square(1, 1, 1, 1)]},
            {"category_id": 3, "area": 12, "segmentation": [square(0, 0, 4, 3)]},
        ],
        [[2, 2, 2, 2], [2, 1, 2, 2], [2, 2, 2, 2]],
    ),
    # column by column: 3 + 1 zeros, then the second and third pixel of the second column
    (
        "runs",
        [{"category_id": 1, "segmentation": {"size": [3, 4], "counts": [4, 2, 6]}}],
        [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]],
    ),
    (
        "compressed runs",
        [{"category_id": 1, "segmentation": {"size": [3, 4], "counts": compress([4, 2, 6])}}],
        [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]],
    ),
    (
        "a crowd is ignored, but not the object in it",
        [
            {"category_id": 1, "area": 1, "segmentation": [square(0, 0, 1, 1)]},
            {"category_id": 1, "area": 9, "iscrowd": 1, "segmentation": {"size": [3, 4], "counts": [0, 6, 6]}},
        ],
        [[1, X, 0, 0], [X, X, 0, 0], [X, X, 0, 0]],
    ),
    ("nothing", [], [[0] * 4] * 3),
]


@pytest.mark.parametrize(("annotations", "expected"), [c[1:] for c in COCO], ids=[c[0] for c in COCO])
def test_coco(tmp_path, annotations, expected):
    picture(tmp_path / "val2017" / "a.jpg", 3, 4)
    document(tmp_path / "annotations" / "instances_val2017.json", coco(annotations))
    ids, collection = load("coco", tmp_path)
    assert ids == {"a": expected}
    assert list(collection.classes) == ["background", "person", "car"]


def test_coco_of_several_splits_wants_one(tmp_path):
    for split in ("train2017", "val2017"):
        document(tmp_path / "annotations" / f"instances_{split}.json", coco([]))
    with pytest.raises(DataError, match="train2017, val2017; choose one"):
        open_reader("coco")(tmp_path, None)


def test_cocostuff_json(tmp_path):
    picture(tmp_path / "images" / "a.jpg", 3, 4)
    grass = {"category_id": 124, "segmentation": {"size": [3, 4], "counts": compress([0, 3, 9])}}
    other = {"category_id": 183, "segmentation": {"size": [3, 4], "counts": compress([9, 3])}}
    path = tmp_path / "annotations" / "stuff_val2017.json"
    document(path, coco([grass, other], categories=((124, "grass"), (183, "other"))))
    ids, collection = load("cocostuff", tmp_path, "val2017")
    assert ids == {"a": [[0, X, X, 1]] * 3}
    assert list(collection.classes) == ["grass", "other"]
