"""Annotations of another format, broken or hostile: one line that says so, for the set or for the one picture."""

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeseg.errors import DataError
from edgeseg.train.pictures import PictureError
from edgeseg.train.readers import open_reader
from tests.train.readers.published import coco, cvat, document, labelme, picture, png_base64, via

CAT = {"label": "cat", "shape_type": "polygon"}
IS_CAT = {"class": "cat"}

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


KEYS = (
    *("images", "annotations", "categories", "id", "name", "image_id", "category_id", "segmentation", "size", "counts", "area"),
    *("file_name", "height", "width", "iscrowd", "shapes", "label", "points", "shape_type", "mask", "imagePath", "imageData"),
    *("imageHeight", "imageWidth", "filename", "regions", "shape_attributes", "region_attributes", "_via_img_metadata"),
    *(
        "_via_settings",
        "core",
        "default_filepath",
        "all_points_x",
        "all_points_y",
        "cx",
        "cy",
        "r",
        "rx",
        "ry",
        "theta",
        "x",
        "y",
    ),
)
leaf = (
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.floats()
    | st.sampled_from(["a.jpg", "cat", "polygon", "rect", "circle", ""])
)
anything = st.recursive(
    leaf, lambda part: st.lists(part, max_size=4) | st.dictionaries(st.sampled_from(KEYS), part, max_size=6)
)
WHOLE = {
    "coco": coco([{"category_id": 1, "area": 2, "iscrowd": 0, "segmentation": {"size": [3, 4], "counts": [4, 2, 6]}}]),
    "labelme": labelme(
        [{**CAT, "points": [[0, 0], [2, 0], [2, 2]]}, {**CAT, "shape_type": "circle", "points": [[0, 0], [1, 1]]}]
    ),
    "via": via(
        ({"name": "rect", "x": 0, "y": 0, "width": 1, "height": 1}, IS_CAT), ({"name": "polygon"}, {"class": {"a": True}})
    ),
}


def replaced(value, path, new):
    """`value` with what lies at `path` (indices into whatever is there) replaced."""
    if not path or not isinstance(value, dict | list) or not value:
        return new
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[path[0] % len(keys)]
    pairs = [(k, replaced(value[k], path[1:], new) if k == key else value[k]) for k in keys]
    return dict(pairs) if isinstance(value, dict) else [v for _, v in pairs]


@pytest.mark.parametrize("name", WHOLE)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(path=st.lists(st.integers(0, 5), max_size=6), new=anything)
def test_whatever_stands_in_a_document_it_is_read_or_refused(tmp_path, name, path, new):
    folder = tmp_path / name
    if not folder.exists():
        picture(folder / "a.jpg", 3, 4)
    document(folder / ("annotations/instances_a.json" if name == "coco" else "a.json"), replaced(WHOLE[name], path, new))
    with suppress(DataError):
        for item in open_reader(name)(folder, None).items:
            assert item.load().ids.ndim == 2
