"""What an operator in a file is called is what sensitivity, calibration and reports call its layer."""

import pytest
import torch

from edgeseg.export import tflite_file, to_onnx
from edgeseg.export.channels_last import channels_last
from edgeseg.export.quiet import quiet
from edgeseg.export.to_tflite import to_tflite
from tests.models.test_layer_names import NAMES, Net

with quiet():
    from edgeseg.calib.observers import MinMax
    from edgeseg.compress import quantize


@pytest.fixture(scope="module")
def graph():
    with quiet(), torch.no_grad():
        prepared = quantize.prepare(Net().eval(), (8, 8), MinMax)
        prepared(torch.rand(1, 3, 8, 8))
        return quantize.convert(prepared)


def test_onnx(graph):
    names = [node.name for node in to_onnx.to_onnx_int8(graph, (8, 8)).graph.node if node.name]
    assert names == NAMES


def test_onnx_in_float_has_activations_too():
    names = [node.name for node in to_onnx.to_onnx(Net().eval(), (8, 8)).graph.node]
    assert [name for name in names if name in NAMES] == NAMES
    assert set(names) - set(NAMES) == {"blocks.0.convs.1", "blocks.0.relu", "blocks.1.convs.1", "blocks.1.relu"}


def test_tflite(graph):
    [body] = tflite_file.parse(to_tflite(channels_last(graph, (8, 8)), (8, 8), int8=True)).subgraphs
    outputs = [body.tensors[operator.outputs[0]].name.decode() for operator in body.operators]
    assert outputs[:-1] == NAMES[:-1]  # the last has the name that the signature knows it by
    weights = [body.tensors[operator.inputs[1]].name.decode() for operator in body.operators if len(operator.inputs) == 3]
    assert weights == [name for name in NAMES if "convs" in name or name == "head"]


RAW = [
    (b"edgeseg/edgeseg.Layer_stage1|0|conv;3", b"stage1.0.conv"),
    (b"edgeseg/edgeseg.Layer_add:2;", b"add:2"),
    (b"pkg.Outer/pkg.Inner_block/torch.nn.Conv2d_0;", b"block/0"),  # as another tool writes it
    (b"a/name/from/elsewhere", b"elsewhere"),
]


@pytest.mark.parametrize(("raw", "short"), RAW)
def test_names_of_tensors(raw, short):
    assert tflite_file.short_name(raw) == short


@pytest.mark.parametrize("layer", ["stage1.0.conv", "add:2", "head"])
def test_a_layer_is_found_again(layer):
    path, kind = tflite_file.layer_scope(layer)
    assert tflite_file.short_name(f"edgeseg/{kind}_{path.split('.')[-1]};7".encode()) == layer.encode()
