"""Choices that do not fit each other are refused before any work."""

import pytest

from edgeseg.errors import UsageError
from edgeseg.export.choices import FLOAT32, INT8, Choices


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"io": "uint8"}, "--io uint8 is of int8 files, not of float32 ones; add --int8"),
        ({"precision": "float16", "target": "arm"}, "--target arm is of int8 files, not of float16 ones"),
        ({"opset": 17}, "--opset must be 18 to 23; got 17"),
    ],
)
def test_what_does_not_fit_is_said(arguments, message):
    with pytest.raises(UsageError, match=message):
        Choices(**arguments)


@pytest.mark.parametrize(
    ("arguments", "formats", "message"),
    [
        ({"io": "uint8"}, ["onnx"], "add --format tflite"),
        ({"target": "tensorrt"}, ["tflite"], "--target tensorrt is of onnx files"),
        ({"opset": 21}, ["tflite"], "--opset 21"),
        ({"dynamic_batch": True}, ["tflite"], "--dynamic-batch"),
    ],
)
def test_a_choice_without_a_file_of_its_format(arguments, formats, message):
    choices = Choices("int8", **arguments)
    with pytest.raises(UsageError, match=message):
        choices.check_formats(formats)
    choices.check_formats(["tflite", "onnx"])


def test_only_tensorrt_wants_ranges_around_zero():
    assert [Choices("int8", target=t).symmetric("onnx") for t in ("x86", "arm", "tensorrt")] == [False, False, True]
    assert not Choices("int8", target="tensorrt").symmetric("tflite")
    assert (FLOAT32.precision, INT8.precision) == ("float32", "int8")
