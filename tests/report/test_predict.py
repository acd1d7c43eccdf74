"""Files and networks answer alike, at the frame's size. The model's logit is 16 (r - g), of 4 x 4 pixels (tiny_models)."""

import dataclasses

import numpy as np
import pytest
import torch

pytest.importorskip("onnxruntime")

from edgeseg.errors import ModelError
from edgeseg.report.predict import Predictor, enlarged_ids, of_network, open_predictor
from edgeseg.spec import Spec
from tests.runtime.tiny_models import GAIN, write_onnx, write_tflite

PERSON = ("background", "person")
GREEN, RED = (0, 255, 0), (0, 0, 255)  # BGR


@pytest.fixture
def red_right():
    """A frame of 80x160, green on the left and red on the right; the model sees 32x32 and answers 8x8."""
    frame = np.zeros((80, 160, 3), np.uint8)
    frame[:, :80], frame[:, 80:] = GREEN, RED
    return frame


@pytest.mark.parametrize("write", [write_onnx, write_tflite])
def test_a_file_at_the_size_of_the_frame(tmp_path, red_right, write):
    predictor = open_predictor(str(write(tmp_path / ("a.onnx" if write is write_onnx else "a.tflite"))))
    ids = predictor.predict(red_right)
    assert (predictor.classes, predictor.person_class, ids.shape) == (PERSON, 1, (80, 160))
    # The logits are equal and opposite on both sides of the edge, so that enlarged they cross 0 there exactly.
    assert (ids == (red_right[..., 2] > 0)).all()


def test_a_network_answers_as_its_file(tmp_path):
    frame = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    network = torch.nn.Conv2d(3, 1, 4, 4, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([GAIN, -GAIN, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4) / 16)
    file = open_predictor(str(write_onnx(tmp_path / "a.onnx")))
    assert (of_network(network.eval(), [(32, 32)], PERSON, 1).predict(frame) == file.predict(frame)).mean() > 0.999


def test_a_name_with_a_backend_is_the_file_that_ships(tmp_path, monkeypatch, red_right):
    path = write_onnx(tmp_path / "a.onnx")
    monkeypatch.setattr("edgeseg.assets.find", lambda name, format, precision="int8": path)
    assert open_predictor("person", "ort").predict(red_right).mean() == 0.5


@pytest.mark.parametrize("write", [write_onnx, write_tflite])
def test_the_probability_that_goes_with_the_ids(tmp_path, red_right, write):
    predictor = open_predictor(str(write(tmp_path / ("a.onnx" if write is write_onnx else "a.tflite"))))
    ids, probability = predictor.judge(red_right)
    assert (ids == predictor.predict(red_right)).all()
    assert (probability.shape, probability.dtype) == ((80, 160), np.float32)
    assert ((probability > 0.5) == ids).all()
    assert (probability[0, 0], probability[0, -1]) == (pytest.approx(0, abs=1e-3), pytest.approx(1, abs=1e-3))
    assert predictor.matte(red_right).shape == (8, 8)


def test_the_probability_of_one_class_of_three():
    spec = Spec("", (2, 2), (1, 1), "NCHW", "float32", "float32", "logits", ("a", "person", "b"), 1)
    logits = np.log(np.array([[[0.2, 0.5, 0.3]]], np.float32))
    frame = np.zeros((2, 3, 3), np.uint8)
    ids, probability = Predictor(lambda _: logits, spec).judge(frame)
    assert (ids == 1).all()
    assert probability == pytest.approx(np.full((2, 3), 0.5))
    nobody = Predictor(lambda _: logits, dataclasses.replace(spec, person_class=None))
    assert nobody.judge(frame)[1] is None
    with pytest.raises(ModelError, match="knows no person, only a, person, b"):
        nobody.matte(frame)


def test_enlarged_before_it_is_decided():
    # Logits -3 and 1, twice as wide: the pixels lie at 1/4 and 3/4 between: -3, -2, 0, 1. Only above 0 is the class.
    logits = np.array([[[-3.0], [1.0]]], np.float32)
    assert enlarged_ids(logits, (1, 4), "logits").tolist() == [[0, 0, 0, 1]]
    # The same numbers as probabilities: 0.1 and 0.9 become 0.1, 0.3, 0.7, 0.9.
    probability = np.array([[[0.1], [0.9]]], np.float32)
    assert enlarged_ids(probability, (1, 4), "probability").tolist() == [[0, 0, 1, 1]]
    # Three classes: 0 wins on the left, 2 on the right; class 1 is never the largest in between.
    three = np.array([[[4, 0, 0], [0, 0, 4]]], np.float32)
    assert enlarged_ids(three, (1, 4), "logits").tolist() == [[0, 0, 2, 2]]


def test_class_ids_are_repeated_not_mixed():
    assert enlarged_ids(np.array([[[0], [10]]], np.float32), (1, 4), "class_ids").tolist() == [[0, 0, 10, 10]]


def test_a_trained_network_and_what_is_none():
    assert open_predictor("enet").predict(np.zeros((40, 30, 3), np.uint8)).shape == (40, 30)
    with pytest.raises(ModelError, match="no model"):
        open_predictor("nobody")
    with pytest.raises(ModelError, match="no trained model"):
        open_predictor("enet", "ort")
    with pytest.raises(ModelError, match="does not exist"):
        open_predictor("nobody.onnx")
