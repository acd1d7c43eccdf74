"""Expected values are worked out by hand in the comments."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edgeseg.errors import DataError, ShapeError, UsageError
from edgeseg.train.metrics import SegmentationMetrics

PERSON = ("background", "person")
ROAD = ("road", "car", "sky")


def scores(classes, *pairs, **options):
    metrics = SegmentationMetrics(classes, **options)
    for prediction, truth in pairs:
        metrics.add(np.array(prediction), np.array(truth))
    return metrics.result()


def square(size, top, left, side):
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_two_classes_by_hand():
    # Person: TP 2, FP 1, FN 1; background: TP 4, FP 1, FN 1. Every boundary pixel of either is 0 or 1 from the other's.
    result = scores(PERSON, ([[0, 1, 1, 1], [0, 0, 0, 0]], [[0, 0, 1, 1], [0, 0, 0, 1]]))
    assert result.pop("boundary_f") is not None
    assert result == {
        "images": 1,
        "classes": ["background", "person"],
        "iou": {"background": pytest.approx(4 / 6), "person": pytest.approx(2 / 4)},
        "miou": pytest.approx((4 / 6 + 2 / 4) / 2),
        "fwiou": pytest.approx(5 / 8 * 4 / 6 + 3 / 8 * 2 / 4),
        "pixel_accuracy": pytest.approx(6 / 8),
        "f1": pytest.approx(2 * 2 / (2 * 2 + 1 + 1)),
        "mean_accuracy": pytest.approx((4 / 5 + 2 / 3) / 2),
        "f1_by_class": {"background": pytest.approx(8 / 10), "person": pytest.approx(4 / 6)},
        "hausdorff": 1.0,
        "hausdorff_95": 1.0,
        "average_precision": None,
    }


def test_three_classes_with_ignored_pixels_by_hand():
    # Judged pixels (prediction/truth): 0/0 0/0 1/0, 1/1 1/1 0/1, 2/2. One pixel is 255.
    result = scores(ROAD, ([[0, 0, 1, 2], [1, 1, 0, 2]], [[0, 0, 0, 255], [1, 1, 1, 2]]))
    # road TP 2 FP 1 FN 1; car TP 2 FP 1 FN 1; sky TP 1.
    assert result["iou"] == {"road": 0.5, "car": 0.5, "sky": 1.0}
    assert result["miou"] == pytest.approx(2 / 3)
    assert result["fwiou"] == pytest.approx((3 * 0.5 + 3 * 0.5 + 1) / 7)
    assert result["pixel_accuracy"] == pytest.approx(5 / 7)
    assert result["f1"] == pytest.approx((4 / 6 + 4 / 6 + 1) / 3)


def test_the_set_is_summed_before_dividing():
    # One image all wrong with 2 person pixels, one all right with 6: IoU 6 / (6 + 2), not the mean of 0 and 1.
    result = scores(PERSON, ([[0, 0]], [[1, 1]]), ([[1] * 6], [[1] * 6]))
    assert result["iou"]["person"] == 6 / 8
    assert result["images"] == 2


ABSENT = [
    # nobody is there and nobody is found: the person has no IoU, and the mean is that of the background
    ("empty on empty", PERSON, [[0, 0]], [[0, 0]], {"background": 1.0, "person": None}, 1.0, None),
    ("found in an empty room", PERSON, [[0, 1]], [[0, 0]], {"background": 0.5, "person": 0.0}, 0.25, 0.0),
    ("missed", PERSON, [[0, 0]], [[0, 1]], {"background": 0.5, "person": 0.0}, 0.25, 0.0),
    ("all ignored", PERSON, [[0, 1]], [[255, 255]], {"background": None, "person": None}, None, None),
    ("class absent", ROAD, [[0, 1]], [[0, 1]], {"road": 1.0, "car": 1.0, "sky": None}, 1.0, 1.0),
]


@pytest.mark.parametrize(("prediction", "truth", "iou", "miou", "f1"), [c[2:] for c in ABSENT], ids=[c[0] for c in ABSENT])
def test_absent_classes(prediction, truth, iou, miou, f1):
    classes = PERSON if len(iou) == 2 else ROAD
    result = scores(classes, (prediction, truth))
    assert (result["iou"], result["miou"], result["f1"]) == (iou, miou, f1)
    assert "NaN" not in json.dumps(result, allow_nan=False)


def test_no_images_give_none_everywhere():
    result = scores(PERSON)
    assert result["images"] == 0
    assert [result[k] for k in ("miou", "fwiou", "pixel_accuracy", "f1", "boundary_f")] == [None] * 5


def test_a_void_class_of_the_model_is_a_miss_but_has_no_iou():
    # The truth's void pixel is not judged; the predicted void on a car pixel is the car's false negative.
    result = scores((*ROAD, "void"), ([[0, 3, 1, 3]], [[0, 1, 1, 3]]), ignore=(3, 255))
    assert result["classes"] == list(ROAD)
    assert result["iou"] == {"road": 1.0, "car": 0.5, "sky": None}
    assert result["pixel_accuracy"] == pytest.approx(2 / 3)


def test_positive_class_may_be_the_first():
    result = scores(("person", "background"), ([[0, 1, 1]], [[0, 0, 1]]), positive=0)
    assert result["f1"] == pytest.approx(2 * 1 / (2 * 1 + 0 + 1))


def test_average_precision_speaks_of_one_class():
    # Person pixels at 0.9 and 0.2, background at 0.5; one pixel is not known. P at recall 1/2 is 1, at recall 1 2/3.
    metrics = SegmentationMetrics(PERSON)
    metrics.add(np.array([[1, 1, 0, 1]]), np.array([[1, 0, 1, 255]]), np.array([[0.9, 0.5, 0.2, 1.0]], np.float32))
    assert metrics.result()["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    # Of three classes none is positive; the probability is that of the class that was named.
    metrics = SegmentationMetrics(ROAD, scored=1)
    metrics.add(np.array([[0, 1, 2]]), np.array([[0, 1, 2]]), np.array([[0.5, 0.4, 0.1]], np.float32))
    assert metrics.result()["average_precision"] == 0.5


def test_a_ring_of_void_is_an_outline():
    # 100x100: the tolerance is 2 pixels. A square of 20 with 2 pixels of void on either side of its true border.
    true = square(100, 40, 40, 20)
    ring = np.where(square(100, 38, 38, 24) & ~square(100, 42, 42, 16), 255, square(100, 42, 42, 16))
    scored = scores(PERSON, (true.astype(int), ring))
    assert scored["boundary_f"] == 1.0
    assert scored["hausdorff"] <= 1.0  # the corners of the ring's middle are a pixel off
    # Six pixels too large on all sides is wrong, though no labelled pixel nearer than 2 says so.
    assert scores(PERSON, (square(100, 34, 34, 32).astype(int), ring))["boundary_f"] == 0.0
    # Where nobody is found, the outline is missed: before, it could not be seen.
    assert scores(PERSON, (np.zeros((100, 100), int), ring))["boundary_f"] == 0.0


def test_boundary_is_averaged_over_images_and_present_classes():
    labels = square(60, 20, 20, 20).astype(int)
    # Image 1 is right; image 2 misses the square (0); image 3 has no boundary at all and does not count.
    pairs = [(labels, labels), (labels * 0, labels), (labels * 0, labels * 0)]
    assert scores(PERSON, *pairs)["boundary_f"] == 0.5
    # Of three classes the square's and its surround's boundaries are judged, the absent third's not.
    assert scores(ROAD, (labels, labels))["boundary_f"] == 1.0
    assert scores(ROAD, (labels * 0, labels))["boundary_f"] == 0.0


REFUSED = [
    ("sizes differ", PERSON, np.zeros((2, 3), int), np.zeros((3, 2), int), {}, ShapeError, "(2, 3)"),
    ("label beyond the classes", PERSON, np.zeros((1, 1), int), np.full((1, 1), 7), {}, DataError, "7"),
    ("prediction beyond the classes", PERSON, np.full((1, 1), 2), np.zeros((1, 1), int), {}, DataError, "prediction"),
    ("one class", ("person",), None, None, {}, UsageError, "two or more"),
    ("one name twice", ("a", "a"), None, None, {}, UsageError, "different names"),
    ("no such class", PERSON, None, None, {"positive": 2}, UsageError, "0 to 1"),
]


@pytest.mark.parametrize(
    ("classes", "prediction", "truth", "options", "error", "needle"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_refusals(classes, prediction, truth, options, error, needle):
    with pytest.raises(error, match=re.escape(needle)):
        SegmentationMetrics(classes, **options).add(prediction, truth)


label_maps = npst.arrays(np.int64, (7, 9), elements=st.sampled_from([0, 1, 2]))


@settings(deadline=None)
@given(label_maps, label_maps)
def test_bounds_and_identity(prediction, truth):
    result = scores(ROAD, (prediction, truth))
    numbers = [*result["iou"].values(), *(result[k] for k in ("miou", "fwiou", "pixel_accuracy", "f1", "boundary_f"))]
    assert all(0 <= x <= 1 for x in numbers if x is not None)
    itself = scores(ROAD, (truth, truth))
    assert all(x in (None, 1.0) for x in itself["iou"].values())
    assert math.isclose(itself["fwiou"], 1.0)


@settings(deadline=None)
@given(label_maps, label_maps)
def test_iou_and_f_are_symmetric(prediction, truth):
    one, other = scores(ROAD, (prediction, truth)), scores(ROAD, (truth, prediction))
    for key in ("iou", "miou", "pixel_accuracy", "f1"):
        assert one[key] == other[key]
    assert one["boundary_f"] == pytest.approx(other["boundary_f"])


@settings(deadline=None)
@given(label_maps, label_maps, st.permutations([0, 1, 2]))
def test_renumbering_the_classes_changes_nothing(prediction, truth, order):
    renumber = np.argsort(order)  # id i becomes the place of i in `order`
    one = scores(ROAD, (prediction, truth))
    other = scores([ROAD[i] for i in order], (renumber[prediction], renumber[truth]))
    assert one["iou"] == other["iou"]
    for key in ("miou", "fwiou", "pixel_accuracy", "f1", "boundary_f"):
        assert one[key] == pytest.approx(other[key])


@settings(deadline=None)
@given(label_maps, label_maps)
def test_images_in_any_order_and_cut_into_any_parts(prediction, truth):
    whole = scores(ROAD, (prediction, truth))
    parts = scores(ROAD, (prediction[3:], truth[3:]), (prediction[:3], truth[:3]))
    assert whole["iou"] == parts["iou"]
