"""A network that collapses in int8: the layer that does it is found, named, and left in float; then it is as good as before."""

import pytest
import torch

from edgeseg.calib.scores import Score
from edgeseg.calib.sensitivity import LayerSensitivity
from edgeseg.errors import ExportError
from edgeseg.export.choices import INT8
from edgeseg.export.files import Accuracy, export
from edgeseg.export.gate import Goal
from edgeseg.export.mixed import search, search_proven
from edgeseg.models.checkpoint import Model, weights_sha256
from edgeseg.runtime import open_session
from tests.export.test_files import QUICK, pictures, settled

CULPRIT, READER = "decoder.0.0.0", "decoder.0.1.0"


class Simulated:
    """Rounding that costs what a table says, added up over the layers that round."""

    def __init__(self, costs, last="head"):
        self.costs, self.switched, self.asked = costs, self, 0
        self.last_layer = last

    def score(self, in_float=()):
        self.asked += 1
        lost = sum(cost for name, cost in self.costs.items() if name not in in_float)
        return Score(1 - lost, -lost, -lost)


def layers(costs):
    return [LayerSensitivity(name, "conv2d", 30.0, 30.0, 30.0, 1 - cost, 100 * cost) for name, cost in costs.items()]


COSTS = {"a": 0.001, "b": 0.04, "c": 0.01, "head": 0.02, "d": 0.0}


@pytest.mark.parametrize(
    ("goal", "kept"),
    [
        (Goal(0.9), []),
        (Goal(0.95), ["b"]),
        (Goal(0.975), ["b", "c"]),
        (Goal(0.0, 2.5), ["b", "c"]),
        (Goal(0.98), ["b", "c", "a"]),
    ],
)
def test_the_fewest_layers(goal, kept):
    assert search(Simulated(COSTS), layers(COSTS), goal) == kept


def test_the_last_layer_is_never_kept():
    assert "head" not in search(Simulated(COSTS), layers(COSTS), Goal(1.0))


def test_what_is_not_needed_is_given_back():
    """Alone, `a` looks worst; but `b`, taken later, mends all that `a` did."""

    class Mending(Simulated):
        def score(self, in_float=()):
            lost = 0.0 if "b" in in_float and "c" in in_float else 0.05 if "a" in in_float else 0.1
            return Score(1 - lost, -lost, -lost)

    assert search(Mending({}), layers({"a": 0.1, "b": 0.05, "c": 0.04}), Goal(0.96)) == ["b", "c"]


def test_the_proof_may_ask_for_more():
    """On the pictures of the proof everything costs half as much again."""
    proof = Simulated({name: 1.5 * cost for name, cost in COSTS.items()})
    assert search(Simulated(COSTS), layers(COSTS), Goal(0.965)) == ["b"]
    assert search_proven(Simulated(COSTS), proof, layers(COSTS), Goal(0.965)) == ["b", "c"]


def collapsing():
    """Two channels of a depthwise convolution 4096 times as large, and their weights behind it smaller: the same function.

    Equalisation would mend it; these tests leave that out.
    """
    model = settled("deeplab")
    depthwise, pointwise = model.network.decoder[0]
    with torch.no_grad():
        for channel in (0, 7):
            depthwise[1].weight[channel] *= 4096
            depthwise[1].bias[channel] *= 4096
            pointwise[0].weight[:, channel] /= 4096
    return Model(model.network, model.card, weights_sha256(model.network.state_dict()))


@pytest.fixture(scope="module")
def model():
    return collapsing()


@pytest.mark.slow
def test_the_culprit_is_named(model, tmp_path):
    with pytest.raises(ExportError, match=rf"the worst layers are .*{CULPRIT} .*--keep-float"):
        export(model, pictures(), tmp_path, choices=INT8, formats=["onnx"], calibration=QUICK, accuracy=Accuracy(0.92))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_equalisation_mends_it_without_float(model, tmp_path):
    [file] = export(model, pictures(), tmp_path, choices=INT8, formats=["onnx"], accuracy=Accuracy(0.92))
    assert file.calibration.chosen.equalised
    assert file.kept_float == ()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [{"keep_float": (CULPRIT,)}, {"mixed": True}], ids=["named", "searched"])
def test_in_float_it_is_repaired(model, arguments, tmp_path):
    report = tmp_path / "report"
    goal = Accuracy(0.92, **arguments)
    written = export(model, pictures(), tmp_path, choices=INT8, calibration=QUICK, accuracy=goal, sensitivity=report)
    for file in written:
        assert file.parity.agreement >= 0.92
        assert file.kept_float == (CULPRIT,)
        assert file.float_layers == (CULPRIT, READER)
        # Two convolutions and, where it is an operator of its own, the ReLU between them; ONNX Runtime also enlarges in float.
        assert 2 <= file.ops["float"] <= {"tflite": 2, "onnx": 4}[file.format]
        assert file.ops["int8"] > 50
        assert open_session(file.path).spec.precision == "int8"
    assert {(pair.a, pair.b) for pair in written[0].pairs} == {
        ("float", "fake-quantised"),
        ("float", "tflite"),
        ("float", "onnx"),
        ("fake-quantised", "tflite"),
        ("fake-quantised", "onnx"),
        ("tflite", "onnx"),
    }
    assert sorted(p.name for p in report.iterdir()) == [f"sensitivity.{s}" for s in ("csv", "json", "png", "txt")]
