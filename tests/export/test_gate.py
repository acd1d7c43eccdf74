"""When an export is refused, and what the refusal says."""

import pytest

from edgeseg.calib.scores import Score
from edgeseg.calib.sensitivity import LayerSensitivity
from edgeseg.errors import ExportError
from edgeseg.export.gate import Goal, judge
from edgeseg.export.parity import Parity


def parity(agreement=0.99, miou_delta=-0.004, sqnr_db=30.0):
    return Parity(agreement, miou_delta, sqnr_db, 0.1, 8, "masks")


def layer(name, agreement, logits_db=30.0):
    return LayerSensitivity(name, "conv2d", 33.0, 25.0, logits_db, agreement, 0.1)


LAYERS = [layer("a", 0.999), layer("b", 0.90), layer("c", 0.95), layer("d", 0.95, logits_db=20.0)]


@pytest.mark.parametrize(
    ("goal", "of", "shortfall"),
    [
        (Goal(0.98), parity(), -0.01),
        (Goal(0.995), parity(), 0.005),
        (Goal(0.98, 0.5), parity(), -0.001),
        (Goal(0.98, 0.3), parity(), 0.001),
        (Goal(0.9, 0.0), Score(1.0, 0.01, 30.0), -0.01),
        (Goal(0.0), parity(sqnr_db=float("nan")), float("inf")),
    ],
)
def test_shortfall(goal, of, shortfall):
    assert goal.shortfall(of) == pytest.approx(shortfall)
    assert goal.met(of) == (shortfall <= 0)


def test_a_goal_that_is_just_met():
    assert Goal(0.98, 0.4).met(parity(0.98, -0.004))


def test_tightened():
    assert Goal(0.98, 0.5).tightened(0.002) == Goal(pytest.approx(0.982), pytest.approx(0.3))
    assert Goal(0.999).tightened(0.01) == Goal(1.0)


@pytest.mark.parametrize(
    ("goal", "of", "said"),
    [
        (Goal(0.995), parity(), r"m.onnx gives 99.00% of the pixels of 8 pictures .* less than 99.50%"),
        (Goal(0.98, 0.3), parity(), r"m.onnx loses 0.40 points of mIoU, more than 0.30"),
        (Goal(0.995, 0.3), parity(), r"99.00% .* and loses 0.40 points"),
        (Goal(0.0), parity(sqnr_db=float("nan")), r"no numbers"),
    ],
)
def test_a_refusal_names_the_three_worst_layers_and_what_to_do(goal, of, said):
    with pytest.raises(ExportError, match=said) as caught:
        judge(of, "m.onnx", goal, lambda: LAYERS)
    message = str(caught.value)
    assert "\n" not in message
    assert "b (33 dB, 10.00% of pixels), d (33 dB, 5.00% of pixels), c (33 dB, 5.00% of pixels)" in message
    assert " a (" not in message
    for remedy in ("--keep-float b", "--calib", "edgeseg train --qat", "--force"):
        assert remedy in message


def test_a_float_file_has_no_layers_to_blame():
    with pytest.raises(ExportError, match="better pictures"):
        judge(parity(), "m.onnx", Goal(0.995), list)


def test_layers_are_measured_only_where_the_goal_is_missed():
    asked = []

    def measured():
        asked.append(1)
        return []

    judge(parity(), "m.onnx", Goal(0.98), measured)
    assert asked == []
    with pytest.raises(ExportError):
        judge(parity(), "m.onnx", Goal(0.995), measured)
    assert asked == [1]


@pytest.mark.parametrize(
    ("goal", "stricter"), [(Goal(0.98), (0.982, None)), (Goal(0.9, 0.5), (0.91, 0.45)), (Goal(1.0, 0.0), (1.0, 0.0))]
)
def test_a_margin_is_a_tenth_of_what_may_be_lost(goal, stricter):
    found = goal.with_margin()
    assert (found.min_agreement, found.max_miou_drop) == (pytest.approx(stricter[0]), stricter[1])
