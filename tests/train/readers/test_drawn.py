"""Annotations as shapes: a sample in each tool's format, with pixels worked out by hand (see test_shapes)."""

import base64
import json

import cv2
import numpy as np
import pytest

from edgeseg.errors import DataError
from edgeseg.train.pictures import PictureError
from edgeseg.train.readers import open_reader
from edgeseg.train.readers.rle import compress
from tests.train.readers.published import GREY, document, picture

X = 255


def load(name, source, split=None):
    """{stem: ids as lists}, and the collection."""
    collection = open_reader(name)(source, split)
    return {item.stem: item.load().ids.tolist() for item in collection.items}, collection


def square(x, y, width, height):
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def coco(annotations, height=3, width=4, categories=((1, "person"), (3, "car"))):
    return {
        "images": [{"id": 9, "file_name": "a.jpg", "height": height, "width": width}],
        "annotations": [{"image_id": 9, **a} for a in annotations],
        "categories": [{"id": i, "name": name} for i, name in categories],
    }


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


def labelme(shapes, **changes):
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": "a.jpg",
        "imageHeight": 3,
        "imageWidth": 4,
        **changes,
    }


def png_base64(rows):
    done, data = cv2.imencode(".png", np.asarray(rows, np.uint8))
    assert done
    return base64.b64encode(data.tobytes()).decode()


# Ids: background, cat, dog
CAT = {"label": "cat", "shape_type": "polygon"}
LABELME = [
    ("polygon", [{**CAT, "points": [[1, 1], [3, 1], [3, 3], [1, 3]]}], [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]]),
    ("no type is a polygon", [{"label": "cat", "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}], [[1, 0, 0, 0], [0] * 4, [0] * 4]),
    (
        "rectangle",
        [{**CAT, "shape_type": "rectangle", "points": [[4, 3], [2, 2]]}],
        [[0] * 4, [0] * 4, [0, 0, 1, 1]],
    ),
    # centre (1.5, 1.5), radius 1: the pixels at distance 1 and 0
    (
        "circle",
        [{**CAT, "shape_type": "circle", "points": [[1.5, 1.5], [2.5, 1.5]]}],
        [[0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 0]],
    ),
    ("line, 10 wide", [{**CAT, "shape_type": "line", "points": [[0, 1], [4, 1]]}], [[1] * 4] * 3),
    (
        "mask",
        [{**CAT, "shape_type": "mask", "points": [[1, 0], [2, 1]], "mask": png_base64([[255, 0], [0, 1]])}],
        [[0, 1, 0, 0], [0, 0, 1, 0], [0] * 4],
    ),
    (
        "later over earlier, ignored",
        [
            {**CAT, "points": [[0, 0], [4, 0], [4, 1], [0, 1]]},
            {**CAT, "label": "__ignore__", "points": [[1, 0], [2, 0], [2, 1], [1, 1]]},
            {**CAT, "label": "_background_", "points": [[2, 0], [3, 0], [3, 1], [2, 1]]},
        ],
        [[1, X, 0, 1], [0] * 4, [0] * 4],
    ),
    ("a point has no area", [{**CAT, "shape_type": "point", "points": [[1, 1]]}], [[0] * 4] * 3),
]


@pytest.mark.parametrize(("shapes", "expected"), [c[1:] for c in LABELME], ids=[c[0] for c in LABELME])
def test_labelme(tmp_path, shapes, expected):
    picture(tmp_path / "a.jpg", 3, 4)
    document(tmp_path / "a.json", labelme(shapes))
    ids, collection = load("labelme", tmp_path)
    assert ids == {"a": expected}
    assert list(collection.classes) == ["background", "cat"]


PLACES = [
    ("beside", "a.json", {}, "a.jpg"),
    ("in another folder", "ann/a.json", {"imagePath": "../img/a.jpg"}, "img/a.jpg"),
    ("with the strokes of Windows", "ann/a.json", {"imagePath": "..\\img\\a.jpg"}, "img/a.jpg"),
    ("the same stem", "a.json", {"imagePath": "renamed.jpg"}, "a.png"),
    ("no size", "a.json", {"imageHeight": None, "imageWidth": None}, "a.jpg"),
]


@pytest.mark.parametrize(("place", "changes", "file"), [c[1:] for c in PLACES], ids=[c[0] for c in PLACES])
def test_labelme_finds_its_picture(tmp_path, place, changes, file):
    expected = picture(tmp_path / file, 3, 4)
    document(tmp_path / place, labelme([], **changes))
    (item,) = open_reader("labelme")(tmp_path, None).items
    sample = item.load()
    assert sample.picture.resolve() == expected.resolve()
    assert sample.ids.shape == (3, 4)


def test_labelme_with_its_picture_inside(tmp_path):
    inside = np.full((3, 4, 3), GREY, np.uint8)
    document(tmp_path / "a.json", labelme([], imageData=png_base64(inside)))
    (item,) = open_reader("labelme")(tmp_path, None).items
    assert (item.load().picture == inside).all()


def test_labelme_does_not_read_beyond_its_folder(tmp_path):
    picture(tmp_path / "secret.jpg", 3, 4)
    document(tmp_path / "set" / "a.json", labelme([], imagePath="../secret.jpg"))
    (item,) = open_reader("labelme")(tmp_path / "set", None).items
    with pytest.raises(DataError, match=r"secret\.jpg") as caught:
        item.load()
    assert caught.value.reason == "missing pictures"


def cvat(body, doctype="", labels=("cat", "dog")):
    names = "".join(f"<label><name>{name}</name></label>" for name in labels)
    head = f'<?xml version="1.0" encoding="utf-8"?>{doctype}<annotations><version>1.1</version>'
    meta = f"<meta><task><name>holidays</name><labels>{names}</labels></task></meta>"
    return f'{head}{meta}<image id="0" name="a.jpg" width="4" height="3">{body}</image></annotations>'


CVAT = [
    (
        "polygon",
        '<polygon label="dog" points="1.0,1.0;3.0,1.0;3.0,3.0;1.0,3.0" z_order="0"/>',
        [[0, 0, 0, 0], [0, 2, 2, 0], [0, 2, 2, 0]],
    ),
    ("box", '<box label="cat" xtl="0" ytl="0" xbr="2" ybr="1"/>', [[1, 1, 0, 0], [0] * 4, [0] * 4]),
    # 3 wide and 0.8 high about (1.5, 1.5), upright after a quarter turn
    (
        "turned box",
        '<box label="cat" xtl="0" ytl="1.1" xbr="3" ybr="1.9" rotation="90"/>',
        [[0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]],
    ),
    (
        "ellipse",
        '<ellipse label="cat" cx="1.5" cy="1.5" rx="1.2" ry="0.5"/>',
        [[0] * 4, [1, 1, 1, 0], [0] * 4],
    ),
    # in its box of 2x2 at (1, 1), row by row: one zero, two ones, one zero
    ("mask", '<mask label="cat" rle="1, 2, 1" left="1" top="1" width="2" height="2"/>', [[0] * 4, [0, 0, 1, 0], [0, 1, 0, 0]]),
    (
        "z order",
        '<box label="dog" xtl="0" ytl="0" xbr="1" ybr="1" z_order="2"/>'
        '<box label="cat" xtl="0" ytl="0" xbr="2" ybr="1" z_order="1"/>',
        [[2, 1, 0, 0], [0] * 4, [0] * 4],
    ),
    ("points have no area", '<points label="cat" points="1,1;2,2"/>', [[0] * 4] * 3),
]


@pytest.mark.parametrize("place", ["images/a.jpg", "a.jpg"])
@pytest.mark.parametrize(("body", "expected"), [c[1:] for c in CVAT], ids=[c[0] for c in CVAT])
def test_cvat(tmp_path, body, expected, place):
    picture(tmp_path / place, 3, 4)
    (tmp_path / "annotations.xml").write_text(cvat(body))
    ids, collection = load("cvat", tmp_path)
    assert ids == {"a": expected}
    assert list(collection.classes) == ["background", "cat", "dog"]


BOMB = (
    '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">]>'
)


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        (cvat("&d;", BOMB), "document type"),
        (cvat("", '<!DOCTYPE a SYSTEM "file:///etc/passwd">'), "document type"),
        ("<annotations><image", "not xml"),
        ("", "is empty"),
        ("{}", "not xml"),
    ],
)
def test_xml_that_is_not_read(tmp_path, text, needle):
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(DataError, match=needle):
        open_reader("cvat")(tmp_path, None)


def via(*regions):
    return {
        "a.jpg123": {
            "filename": "a.jpg",
            "size": 123,
            "file_attributes": {},
            "regions": [{"shape_attributes": shape, "region_attributes": attributes} for shape, attributes in regions],
        }
    }


IS_CAT = {"class": "cat"}
VIA = [
    (
        "polygon",
        {"name": "polygon", "all_points_x": [1, 3, 3, 1], "all_points_y": [1, 1, 3, 3]},
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]],
    ),
    ("rect", {"name": "rect", "x": 2, "y": 2, "width": 2, "height": 1}, [[0] * 4, [0] * 4, [0, 0, 1, 1]]),
    ("circle", {"name": "circle", "cx": 1.5, "cy": 1.5, "r": 1}, [[0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 0]]),
    ("ellipse", {"name": "ellipse", "cx": 1.5, "cy": 1.5, "rx": 1.2, "ry": 0.5, "theta": 0}, [[0] * 4, [1, 1, 1, 0], [0] * 4]),
    (
        "turned ellipse",
        {"name": "ellipse", "cx": 1.5, "cy": 1.5, "rx": 1.2, "ry": 0.5, "theta": 1.5707963},
        [[0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]],
    ),
    ("polyline", {"name": "polyline", "all_points_x": [0, 4], "all_points_y": [1.5, 1.5]}, [[0] * 4, [1] * 4, [0] * 4]),
    (
        "closed polyline",
        {"name": "polyline", "all_points_x": [1, 3, 3, 1, 1], "all_points_y": [1, 1, 3, 3, 1]},
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]],
    ),
    ("point", {"name": "point", "cx": 1, "cy": 1}, [[0] * 4] * 3),
]


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize(("shape", "expected"), [c[1:] for c in VIA], ids=[c[0] for c in VIA])
def test_via(tmp_path, shape, expected, project):
    picture(tmp_path / ("photos/a.jpg" if project else "a.jpg"), 3, 4)
    records = via((shape, IS_CAT))
    settings = {"core": {"default_filepath": "photos/"}}
    document(tmp_path / "via.json", {"_via_settings": settings, "_via_img_metadata": records} if project else records)
    ids, collection = load("via", tmp_path)
    assert ids == {"a": expected}
    assert list(collection.classes) == ["background", "cat"]


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"quality": "good", "type": " cat "}, "cat"),
        ({"animal": "cat"}, "cat"),
        ({"class": {"dog": False, "cat": True}}, "cat"),
    ],
)
def test_via_names_of_classes(tmp_path, attributes, name):
    document(tmp_path / "via.json", via(({"name": "rect"}, attributes)))
    assert list(open_reader("via")(tmp_path, None).classes) == ["background", name]


def test_via_of_version_1(tmp_path):
    picture(tmp_path / "a.jpg", 3, 4)
    records = via(({"name": "rect", "x": 0, "y": 0, "width": 1, "height": 1}, IS_CAT))
    records["a.jpg123"]["regions"] = {"0": records["a.jpg123"]["regions"][0]}
    assert load("via", document(tmp_path / "via.json", records))[0] == {"a": [[1, 0, 0, 0], [0] * 4, [0] * 4]}


def test_what_is_left_out_is_named(tmp_path):
    picture(tmp_path / "a.jpg", 3, 4)
    document(tmp_path / "via.json", via(({"name": "point"}, IS_CAT), ({"name": "rect"}, {}), ({}, IS_CAT), (None, None)))
    (item,) = open_reader("via")(tmp_path, None).items
    assert list(item.load().unknown) == ["cat", "(no name)", "cat", "(no name)"]


NOT_THE_FORMAT = [
    ("coco", "annotations/instances_a.json", [[], {}, {"images": [1], "annotations": [], "categories": []}, 7, None]),
    ("coco", "annotations/instances_a.json", [{**coco([]), "annotations": [3]}, {**coco([]), "categories": [{"id": []}]}]),
    ("cocostuff", "annotations/stuff_a.json", [[], {}]),
    ("via", "a.json", [[], 7, {"a": 1}, {"a": {"filename": 1, "regions": []}}, {"a": {"filename": "b", "regions": ["c"]}}]),
    ("via", "a.json", [{"_via_img_metadata": 3}, {"a": {"filename": "b"}}, {"_via_img_metadata": {}, "_via_settings": 1}]),
]


@pytest.mark.parametrize(("name", "file", "values"), NOT_THE_FORMAT)
def test_json_of_another_format(tmp_path, name, file, values):
    for value in values:
        document(tmp_path / file, value)
        with pytest.raises(DataError) as caught:
            open_reader(name)(tmp_path, None)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "\x00", "[" * 100_000, "{'a': 1}", "1" * 5000, ""])
def test_json_that_cannot_be_read(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError) as caught:
        open_reader("via")(tmp_path, None)
    assert len(str(caught.value).splitlines()) == 1


BAD_ITEMS = [
    ("coco", coco([{"category_id": 1, "segmentation": None}]), "not 3x4"),
    ("coco", coco([{"category_id": 1, "area": "large", "segmentation": [[1, 2]]}]), "1 points"),
    ("coco", coco([{"category_id": 1, "segmentation": [["a"] * 6]}]), "no numbers"),
    ("coco", coco([], height=10**5, width=10**5), "100000x100000"),
    ("coco", coco([], height=None), "Nonex4"),
    ("labelme", labelme([{**CAT, "points": [[0, 0]]}]), "1 points"),
    ("labelme", labelme([{**CAT, "points": "here"}]), "no numbers"),
    ("labelme", labelme([{**CAT, "shape_type": "circle", "points": [[0, 0]]}]), "two points"),
    ("labelme", labelme([{**CAT, "shape_type": "mask", "points": [[0, 0], [9, 9]], "mask": png_base64([[1]])}]), "a mask of"),
    ("labelme", labelme([{**CAT, "shape_type": "mask", "points": [[0, 0], [0, 0]], "mask": "?"}]), "base64"),
    ("labelme", labelme([{**CAT, "shape_type": "mask", "points": [[0, 0], [0, 0]], "mask": "AAAA"}]), "no PNG"),
    ("labelme", labelme([3]), "no list of shapes"),
    ("labelme", labelme([], imageHeight=10**9, imageWidth=1), "at most"),
    ("labelme", [], "no list of shapes"),
    ("via", via(({"name": "rect", "x": "left"}, IS_CAT)), "no numbers|infinite"),
    ("via", via(({"name": "polygon", "all_points_x": [1], "all_points_y": 2}, IS_CAT)), "all_points_x"),
    ("via", via(({"name": "circle", "cx": 1, "cy": 1, "r": -1}, IS_CAT)), "radii -1"),
    ("cvat", '<box label="cat" xtl="0" ytl="0" xbr="2"/>', "ybr must be a number, got nothing"),
    ("cvat", '<box label="cat" xtl="0" ytl="0" xbr="inf" ybr="1"/>', "xbr must be a number"),
    ("cvat", '<polygon label="cat" points="1;2"/>', "1 points"),
    ("cvat", '<mask label="cat" rle="1,-2" left="1" top="1" width="2" height="2"/>', "no numbers"),
    ("cvat", '<mask label="cat" rle="5" left="1" top="1" width="2" height="2"/>', "do not fill"),
    ("cvat", '<mask label="cat" rle="4" left="3" top="1" width="2" height="2"/>', "in a picture"),
]


@pytest.mark.parametrize(("name", "value", "needle"), BAD_ITEMS)
def test_annotations_that_cannot_be_drawn_are_errors_of_their_picture(tmp_path, name, value, needle):
    file = {"coco": "annotations/instances_a.json", "cvat": "annotations.xml"}.get(name, "a.json")
    document(tmp_path / file, value)
    if name == "cvat":
        (tmp_path / file).write_text(cvat(value))
    picture(tmp_path / "a.jpg", 3, 4)
    (item,) = open_reader(name)(tmp_path, None).items
    with pytest.raises(DataError, match=needle) as caught:
        item.load()
    assert isinstance(caught.value, PictureError) or caught.value.reason == "broken annotations"
    assert "\n" not in str(caught.value)


def test_names_lead_nowhere_else(tmp_path):
    records = json.loads(json.dumps(coco([])).replace("a.jpg", "../../a b/../x.jpg"))
    document(tmp_path / "set" / "annotations" / "instances_a.json", records)
    picture(tmp_path / "x.jpg")
    (item,) = open_reader("coco")(tmp_path / "set", None).items
    assert "/" not in item.stem
    assert not item.stem.startswith(".")
    with pytest.raises(DataError, match="not there"):
        item.load()
