"""Agreement, mIoU and noise against values worked out by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from edgeseg.calib.frames import Picture
from edgeseg.calib.scores import EQUAL_DB, class_ids, count, mean_iou
from edgeseg.export.parity import compare
from edgeseg.runtime import open_session
from tests.runtime.tiny_models import GAIN, ONNX_SPEC, write_onnx

RED, GREEN = (0, 0, 255), (0, 255, 0)


def halves(left, right):
    frame = np.empty((32, 32, 3), np.uint8)
    frame[:, :16], frame[:, 16:] = left, right
    return frame


class Red(nn.Module):
    """The network of the tiny model, with a gain on its logits and something added."""

    def __init__(self, gain=1.0, offset=0.0):
        super().__init__()
        self.gain, self.offset = gain, offset

    def forward(self, image):
        mean = nn.functional.avg_pool2d(image, 4)
        return (mean[:, :1] - mean[:, 1:2]) * GAIN * self.gain + self.offset


@pytest.fixture
def session(tmp_path):
    return open_session(write_onnx(tmp_path / "m.onnx", ONNX_SPEC))


def test_a_file_that_is_its_network(session):
    parity = compare(session, Red(), [Picture("p", halves(RED, GREEN))])
    assert (parity.agreement, parity.miou_delta, parity.images, parity.reference) == (1.0, 0.0, 1, "float")
    assert parity.sqnr_db > 100
    assert parity.max_abs_error < 1e-4


def test_noise(session):
    """The file gives +-16 where the network gives +-8: the error is as large as the signal, 0 dB."""
    parity = compare(session, Red(gain=0.5), [Picture("p", halves(RED, GREEN))])
    assert parity.agreement == 1.0
    assert parity.sqnr_db == pytest.approx(0, abs=1e-4)
    assert parity.max_abs_error == pytest.approx(8, abs=1e-4)


def test_disagreement_without_truth(session):
    """The network finds the person everywhere, the file in the left half: IoU 0.5 and 0, less 1."""
    parity = compare(session, Red(offset=100.0), [Picture("p", halves(RED, GREEN))])
    assert parity.agreement == 0.5
    assert parity.miou_delta == pytest.approx((0.5 + 0) / 2 - 1)


def test_truth_decides_where_there_is_one(session):
    """Truth is the left half: the file has IoU 1 and 1, the network (all person) 0.5 and 0."""
    truth = np.zeros((64, 64), np.uint8)
    truth[:, :32] = 1
    parity = compare(session, Red(offset=100.0), [Picture("p", halves(RED, GREEN), truth)])
    assert parity.miou_delta == pytest.approx(1 - 0.25)
    assert parity.reference == "masks"


def test_equal_logits_have_a_finite_figure(session):
    frame = halves(RED, GREEN)
    logits = torch.from_numpy(session.logits(frame)).permute(2, 0, 1)[None]

    class Same(nn.Module):
        def forward(self, image):
            return logits

    assert compare(session, Same(), [Picture("p", frame)]).sqnr_db == EQUAL_DB


def test_class_ids_of_one_and_of_several_channels():
    one = np.array([[[-1.0], [1.0]]], np.float32)
    assert class_ids(one, (1, 2)).tolist() == [[0, 1]]
    several = np.array([[[3.0, 1.0, 2.0], [0.0, 1.0, 2.0]]], np.float32)
    assert class_ids(several, (1, 2)).tolist() == [[0, 2]]


def test_void_and_unknown_classes_do_not_count():
    confusion = np.zeros((2, 2), np.int64)
    count(confusion, np.array([[0, 1, 255, 9]], np.int32), np.array([[0, 0, 1, 1]], np.int32))
    assert confusion.tolist() == [[1, 0], [1, 0]]
    assert mean_iou(confusion) == pytest.approx((0.5 + 0) / 2)


def test_absent_classes_do_not_count():
    assert mean_iou(np.array([[4, 0, 0], [0, 3, 1], [0, 0, 0]])) == pytest.approx((1 + 0.75 + 0) / 3)
    assert mean_iou(np.array([[4, 0], [0, 0]])) == 1.0


def test_a_quantised_file_is_compared_on_its_own_input(tmp_path):
    from tests.runtime.tiny_models import TFLITE_SPEC, write_tflite

    quantised = open_session(write_tflite(tmp_path / "m.tflite", dataclasses.replace(TFLITE_SPEC, licence="x")))
    parity = compare(quantised, Red(), [Picture("p", halves(RED, GREEN))])
    assert parity.agreement == 1.0
    assert parity.sqnr_db > 30
