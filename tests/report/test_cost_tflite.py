"""Expected numbers are the arithmetic of the shapes."""

import pytest

from edgeseg import assets
from edgeseg.errors import ModelError
from edgeseg.report.cost_file import count_file
from edgeseg.report.cost_tflite import FORMULAS, count_tflite
from tests.runtime.tiny_models import write_onnx, write_tflite

# Operator, shapes of its operands, shape of its result, MACs.
OPERATORS = [
    ("CONV_2D", [(1, 8, 8, 3), (16, 3, 3, 3), (16,)], (1, 4, 4, 16), 4 * 4 * 16 * 3 * 3 * 3),
    ("CONV_2D", [(1, 4, 4, 8), (16, 3, 3, 2), (16,)], (1, 4, 4, 16), 4 * 4 * 16 * 3 * 3 * 2),  # 4 groups
    ("CONV_2D", [(2, 4, 4, 8), (4, 1, 1, 8), (4,)], (2, 4, 4, 4), 2 * 16 * 4 * 8),
    ("DEPTHWISE_CONV_2D", [(1, 4, 4, 8), (1, 3, 3, 8), (8,)], (1, 4, 4, 8), 16 * 8 * 9),
    # each of 4 x 4 input pixels meets 16 channels of a 2 x 2 kernel over 8 channels
    ("TRANSPOSE_CONV", [(4,), (16, 2, 2, 8), (1, 4, 4, 8)], (1, 8, 8, 16), 16 * 16 * 4 * 8),
    ("FULLY_CONNECTED", [(5, 10), (4, 10), (4,)], (5, 4), 5 * 4 * 10),
    ("BATCH_MATMUL", [(2, 3, 5), (2, 5, 7)], (2, 3, 7), 2 * 3 * 5 * 7),
    ("BATCH_MATMUL", [(2, 5, 3), (2, 5, 7)], (2, 3, 7), 2 * 3 * 5 * 7),  # the first one transposed
    ("CONV_3D", [(1, 4, 4, 4, 2), (3, 3, 3, 2, 6)], (1, 4, 4, 4, 6), 64 * 6 * 27 * 2),
]


@pytest.mark.parametrize(("operator", "given", "made", "macs"), OPERATORS)
def test_formulas(operator, given, made, macs):
    assert FORMULAS[operator](given, [made]) == macs


def test_a_file(tmp_path):
    cost = count_tflite(write_tflite(tmp_path / "m.tflite"))
    (layer,) = cost.layers
    assert (layer.name, layer.kind, layer.operands) == ("kernel", "CONV_2D", "int8")
    assert cost.size == (32, 32)
    assert layer.macs == 8 * 8 * 4 * 4 * 3
    assert layer.params == 4 * 4 * 3 + 1
    assert (layer.weight_bytes, layer.read_bytes, layer.written_bytes) == (48 + 4, 32 * 32 * 3, 8 * 8)
    assert (cost.peak_bytes, cost.activations) == (32 * 32 * 3 + 64, 32 * 32 * 3 + 64)


def test_a_shipped_file_has_parameters_of_its_layers_only():
    cost = count_tflite(assets.find("person", "tflite"))
    assert cost.uncounted == {"ADD": 10 + 4, "MEAN": 1, "RESIZE_BILINEAR": 4}  # of four steps each
    assert {layer.kind for layer in cost.layers if layer.params} == {"CONV_2D", "DEPTHWISE_CONV_2D"}
    assert len({layer.name for layer in cost.layers}) == len(cost.layers)
    assert all(layer.moved_bytes for layer in cost.layers)


DAMAGED = [
    ("not there", None),
    ("no TFLite", b"nothing at all, but long enough"),
    ("cut", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 40),
]


@pytest.mark.parametrize("content", [c[1] for c in DAMAGED], ids=[c[0] for c in DAMAGED])
def test_files_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "m.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot be read|TFLite"):
        count_tflite(path)


def test_the_content_says_what_a_file_is(tmp_path):
    tflite, onnx = write_tflite(tmp_path / "a.onnx"), write_onnx(tmp_path / "b.tflite")
    assert count_file(tflite).layers[0].kind == "CONV_2D"
    assert count_file(onnx).layers[0].kind == "Conv"
    (tmp_path / "c.tflite").write_bytes(b"neither")
    with pytest.raises(ModelError, match="neither"):
        count_file(tmp_path / "c.tflite")
