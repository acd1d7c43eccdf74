"""Annotations as shapes: a sample in each tool's format, with pixels worked out by hand (see test_shapes)."""

import numpy as np
import pytest

from edgeseg.errors import DataError
from edgeseg.train.readers import open_reader
from tests.train.readers.published import GREY, cvat, document, labelme, picture, png_base64, via

X = 255


def load(name, source, split=None):
    """{stem: ids as lists}, and the collection."""
    collection = open_reader(name)(source, split)
    return {item.stem: item.load().ids.tolist() for item in collection.items}, collection


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


def test_the_mask_of_the_documentation(tmp_path):
    """A disc 13 pixels wide and 15 high, as docs.cvat.ai shows the format."""
    runs = "3, 5, 7, 7, 5, 9, 3, 11, 2, 11, 2, 12, 1, 12, 1, 26, 1, 12, 1, 12, 2, 11, 3, 9, 5, 7, 7, 5, 3"
    picture(tmp_path / "a.jpg", 15, 13)
    text = cvat(f'<mask label="cat" rle="{runs}" left="0" top="0" width="13" height="15"/>')
    (tmp_path / "annotations.xml").write_text(text.replace('width="4" height="3"', 'width="13" height="15"'))
    (rows,) = load("cvat", tmp_path)[0].values()
    assert ["".join(" #"[v] for v in row).rstrip() for row in rows] == [
        "   #####",
        "  #######",
        " #########",
        "###########",
        "###########",
        "############",
        "############",
        "#############",
        "#############",
        " ############",
        " ############",
        "  ###########",
        "   #########",
        "    #######",
        "     #####",
    ]


def test_labels_without_an_area_are_no_classes(tmp_path):
    text = cvat("").replace("<name>dog</name>", "<name>nose</name><type>points</type>")
    (tmp_path / "annotations.xml").write_text(text)
    assert list(open_reader("cvat")(tmp_path, None).classes) == ["background", "cat"]


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
        ('<annotations><track id="0" label="car"/></annotations>', "tracks of a video"),
        ("", "is empty"),
        ("{}", "not xml"),
    ],
)
def test_xml_that_is_not_read(tmp_path, text, needle):
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(DataError, match=needle):
        open_reader("cvat")(tmp_path, None)


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
