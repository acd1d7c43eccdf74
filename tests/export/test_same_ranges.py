"""TFLite and ONNX files of one network carry the same ranges and the same weights, and decide alike."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgeseg.export.choices import INT8
from edgeseg.export.files import Accuracy, export
from edgeseg.export.rewrites import rewrite
from edgeseg.export.tflite_file import parse
from edgeseg.report.cost import count
from edgeseg.report.cost_file import count_file
from edgeseg.runtime import open_session
from edgeseg.runtime.tflite_schema import operator_name
from tests.export.test_files import CARDS, QUICK, pictures, settled


@pytest.fixture(scope="module", params=CARDS)
def pair(request, tmp_path_factory):
    """(TFLite file, ONNX file) of one network"""
    folder = tmp_path_factory.mktemp(request.param)
    accuracy = Accuracy(force=True)
    written = export(settled(request.param), pictures(), folder, choices=INT8, calibration=QUICK, accuracy=accuracy)
    return [file.path for file in written]


def tflite_ranges(path, names):
    model = parse(path.read_bytes())
    [graph] = model.subgraphs
    found = set()
    for operator in graph.operators:
        if operator_name(model, operator) in names:
            [output] = operator.outputs
            quantisation = graph.tensors[output].quantization
            found.add((np.float32(quantisation.scale[0]), int(quantisation.zeroPoint[0])))
    return found


def onnx_ranges(path, names):
    graph = onnx.load(path).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    outputs = {name for node in graph.node if node.op_type in names for name in node.output}
    readers = [node for node in graph.node if node.input[0] in outputs]
    assert {node.op_type for node in readers} == {"QuantizeLinear"}
    return {(np.float32(constants[n.input[1]]), int(constants[n.input[2]]) - 128) for n in readers}


@pytest.mark.slow
def test_ranges_are_the_same(pair):
    in_tflite = tflite_ranges(pair[0], {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN"})
    in_onnx = onnx_ranges(pair[1], {"Conv", "Add", "GlobalAveragePool"})
    assert in_tflite == in_onnx
    assert len(in_tflite) > 50


@pytest.mark.slow
def test_decisions_are_the_same(pair):
    sessions = [open_session(path) for path in pair]
    ids = [np.stack([session.class_ids(p.frame) for p in pictures().parity]) for session in sessions]
    assert 0.1 < ids[0].mean() < 0.9
    assert (ids[0] == ids[1]).mean() > 0.99


@pytest.mark.slow
def test_costs_are_the_same(pair, request):
    """The network as it is exported, its TFLite and its ONNX file; `tests/report/test_cost.py` explains the differences."""
    network = settled(request.node.callspec.params["pair"]).network
    tflite, onnx_file = (count_file(path) for path in pair)
    exported = count(rewrite(network), tflite.size)
    assert tflite.macs == onnx_file.macs == exported.macs > 0
    assert tflite.params == onnx_file.params == exported.params
