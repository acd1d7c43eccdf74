"""Agreement of every two subjects, by hand."""

import numpy as np
import pytest

from edgeseg.calib.frames import Picture
from edgeseg.export.pairs import Pair, compare_all, strayed


def logits(*values):
    return lambda picture: np.array(values, np.float32).reshape(1, -1, 1)


def test_three_subjects():
    picture = Picture("p", np.zeros((1, 4, 3), np.uint8))
    subjects = {"float": logits(3, 1, -1, -3), "tflite": logits(3, 1, 1, -3), "onnx": logits(3, -1, -1, -3)}
    ft, fo, to = compare_all(subjects, [picture], (1, 4), 2)
    assert [(p.a, p.b) for p in (ft, fo, to)] == [("float", "tflite"), ("float", "onnx"), ("tflite", "onnx")]
    assert [p.agreement for p in (ft, fo, to)] == [0.75, 0.75, 0.5]
    assert [p.max_abs_error for p in (ft, fo, to)] == [2, 2, 2]
    assert ft.sqnr_db == pytest.approx(10 * np.log10(20 / 4))
    assert to.sqnr_db == pytest.approx(10 * np.log10(20 / 8))
    assert ft.miou_delta == pytest.approx((2 / 3 + 1 / 2) / 2 - 1)
    assert to.miou_delta == pytest.approx((1 / 3 + 1 / 3) / 2 - 1)


def test_against_the_truth():
    picture = Picture("p", np.zeros((1, 2, 3), np.uint8), np.array([[1, 0]], np.uint8))
    [pair] = compare_all({"float": logits(1, 1), "onnx": logits(1, -1)}, [picture], (1, 2), 2)
    assert pair.miou_delta == pytest.approx(1 - (1 / 2 + 0) / 2)


def test_a_file_that_rounds_otherwise_than_it_was_told_is_named():
    told, other = (
        Pair("fake-quantised", name, share, 0.0, 30.0, 0.1) for name, share in (("onnx", 0.9977), ("tflite", 0.9875))
    )
    [warning] = strayed([Pair("float", "tflite", 0.9, 0.0, 20.0, 1.0), told, other])
    assert warning.startswith("tflite gives the class of its simulation on 98.75% of the pixels only")
