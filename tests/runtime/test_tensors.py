"""Frames to tensors: the table is the formula, the fast path is the table, shrinking does not alias."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.runtime.tensors import Encoder, decode, shrink, sigmoid
from edgeseg.spec import Quantisation, Spec
from tests.runtime.tiny_models import ONNX_SPEC, TFLITE_SPEC

EVERY_BYTE = np.stack([np.arange(1024, dtype=np.uint16) % 256] * 3, axis=-1).reshape(32, 32, 3).astype(np.uint8)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

SPECS = {
    "int8 unit": TFLITE_SPEC,
    "int8 imagenet": dataclasses.replace(TFLITE_SPEC, **IMAGENET, input_quantisation=Quantisation(0.0187, -14)),
    "uint8": dataclasses.replace(TFLITE_SPEC, input_dtype="uint8", input_quantisation=Quantisation(1 / 255, 0)),
    "float unit": ONNX_SPEC,
    "float bgr": dataclasses.replace(ONNX_SPEC, colour="BGR", scale=1.0, mean=(104.0, 117.0, 123.0)),
}


def by_formula(frame: np.ndarray, spec: Spec) -> np.ndarray:
    pixels = frame.astype(np.float64)
    if spec.colour == "RGB":
        pixels = pixels[..., ::-1]
    image = (pixels * spec.scale - np.array(spec.mean)) / np.array(spec.std)
    if spec.input_quantisation is not None:
        q = spec.input_quantisation
        low, high = (-128, 127) if spec.input_dtype == "int8" else (0, 255)
        image = np.clip(np.rint(image / q.scale) + q.zero_point, low, high)
    return image if spec.layout == "NHWC" else image.transpose(2, 0, 1)


@pytest.mark.parametrize("name", SPECS)
def test_prepare_is_the_formula_for_every_byte_in_every_channel(name: str) -> None:
    spec = SPECS[name]
    frame = EVERY_BYTE.copy()
    frame[..., 1] = frame[::-1, ::-1, 1]  # so that swapped channels are seen
    tensor = Encoder(spec)(frame)
    assert tensor.dtype == spec.input_dtype
    assert tensor.flags.c_contiguous
    assert tensor.shape == ((1, 32, 32, 3) if spec.layout == "NHWC" else (1, 3, 32, 32))
    np.testing.assert_allclose(tensor[0], by_formula(frame, spec), rtol=1e-6, atol=1e-6)


def test_the_usual_int8_input_is_each_byte_with_its_top_bit_turned() -> None:
    frame = np.full((32, 32, 3), (0, 128, 255), np.uint8)  # blue, green, red
    assert Encoder(TFLITE_SPEC)(frame)[0, 0, 0].tolist() == [127, 0, -128]  # red, green, blue


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 64), st.integers(1, 64), st.integers(0, 255))
def test_shrink_gives_the_size_and_keeps_a_flat_colour(h: int, w: int, to_h: int, to_w: int, value: int) -> None:
    small = shrink(np.full((h, w, 3), value, np.uint8), (to_h, to_w))
    assert small.shape == (to_h, to_w, 3)
    assert (small == value).all()


def test_shrink_averages_a_fine_pattern_instead_of_sampling_it() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (shrink(stripes, (64, 64)) == 100).all()


def test_shrink_does_not_move_the_picture() -> None:
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[:, 320:] = 255  # an edge in the middle stays in the middle
    row = shrink(frame, (60, 60))[30, :, 0]
    assert row[:29].max() == 0
    assert row[31:].min() == 255


def test_decode_turns_either_layout_into_height_width_channels() -> None:
    stored = np.arange(2 * 3 * 4, dtype=np.int8).reshape(1, 2, 3, 4)
    spec = dataclasses.replace(TFLITE_SPEC, output_quantisation=Quantisation(0.5, 4))
    assert decode(stored, spec)[1, 2].tolist() == [8.0, 8.5, 9.0, 9.5 - 0.0]
    channels_first = dataclasses.replace(spec, layout="NCHW")
    assert decode(stored, channels_first).shape == (3, 4, 2)
    assert decode(stored, channels_first)[0, 0].tolist() == [-2.0, 4.0]


def test_sigmoid_at_points_worked_out_by_hand() -> None:
    x = np.array([0, np.log(3), -np.log(3), 200, -200], np.float32)
    np.testing.assert_allclose(sigmoid(x), [0.5, 0.75, 0.25, 1, 0], atol=1e-6)
