"""Files of every choice: types at their ends, what is inside them, and that they decide as the network does."""

import functools

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from edgeseg.errors import ExportError
from edgeseg.export import onnx_float16, tflite_file, to_onnx
from edgeseg.export.choices import Choices
from edgeseg.export.files import Accuracy, export
from edgeseg.runtime import open_session
from tests.export.test_files import QUICK, pictures, settled

CASES = {
    "tflite int8": ("tflite", Choices("int8")),
    "tflite uint8": ("tflite", Choices("int8", io="uint8")),
    "tflite float32": ("tflite", Choices("int8", io="float32")),
    "tflite half": ("tflite", Choices("float16")),
    "tflite whole": ("tflite", Choices()),
    "onnx x86": ("onnx", Choices("int8")),
    "onnx arm": ("onnx", Choices("int8", target="arm", opset=21)),
    "onnx tensorrt": ("onnx", Choices("int8", target="tensorrt")),
    "onnx half": ("onnx", Choices("float16", dynamic_batch=True)),
    "onnx batch": ("onnx", Choices("int8", dynamic_batch=True)),
    "onnx whole": ("onnx", Choices()),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function of a name in CASES that gives what was exported."""

    @functools.cache
    def write(name):
        format, choices = CASES[name]
        folder = tmp_path_factory.mktemp(name.replace(" ", "-"))
        options = {"formats": [format], "choices": choices, "calibration": QUICK, "accuracy": Accuracy(0.9)}
        return export(settled("deeplab"), pictures(), folder, **options)[0]

    return write


def class_ids(file):
    session = open_session(file.path)
    return np.stack([session.class_ids(picture.frame) for picture in pictures().parity])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype", "zero_point"),
    [("tflite int8", "int8", -128), ("tflite uint8", "uint8", 0), ("tflite float32", "float32", None)],
)
def test_types_at_the_ends_change_no_class(written, name, dtype, zero_point):
    file = written(name)
    assert (file.spec.input_dtype, file.spec.output_dtype, file.spec.precision) == (dtype, dtype, "int8")
    found = file.spec.input_quantisation
    assert (None if found is None else found.zero_point) == zero_point
    assert np.array_equal(class_ids(file), class_ids(written("tflite int8")))
    assert file.ops["quantize"] == (0 if name == "tflite int8" else 2)
    assert file.ops["float"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_half_precision_halves_the_file(written, format):
    half, whole = written(f"{format} half"), written(f"{format} whole")
    assert half.path.name == f"small-64x64-float16.{format}"
    assert (half.spec.precision, half.spec.input_dtype) == ("float16", "float32")
    assert half.size_bytes < 0.7 * whole.size_bytes  # names and structure weigh more in so small a network
    assert half.parity.agreement > 0.997
    assert 40 < half.parity.sqnr_db < whole.parity.sqnr_db


def weight_types(path):
    return {t.data_type for t in onnx.load(path).graph.initializer if len(t.dims) == 4}


@pytest.mark.slow
def test_an_onnx_file_of_half_precision_computes_in_it(written):
    assert weight_types(written("onnx half").path) == {TensorProto.FLOAT16}


@pytest.mark.slow
def test_signed_for_arm(written):
    file = written("onnx arm")
    model = onnx.load(file.path)
    types = {t.name: t.data_type for t in model.graph.initializer}
    points = {types[n.input[2]] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    assert points == {TensorProto.INT8}
    assert (file.spec.input_dtype, file.spec.input_quantisation.zero_point) == ("int8", -128)
    assert (file.opset, model.opset_import[0].version) == (21, 21)
    assert file.ops["int8"] == written("onnx x86").ops["int8"]


@pytest.mark.slow
def test_what_tensorrt_takes(written):
    """Zero points of zero, int8 alone, biases in float, floats at the ends (the rules of its explicit quantisation)."""
    file = written("onnx tensorrt")
    graph = onnx.load(file.path).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert constants[node.input[2]].dtype == np.int8
            assert not constants[node.input[2]].any()
        elif node.op_type == "Conv":
            assert constants[node.input[2]].dtype == np.float32
    assert {t.dtype for t in constants.values()} <= {np.dtype(d) for d in (np.int8, np.float32, np.int64)}
    assert (file.spec.input_dtype, file.spec.input_quantisation, file.spec.precision) == ("float32", None, "int8")
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx half", "onnx batch"])
def test_any_number_of_images(written, name):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(written(name).path), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["n", 3, 64, 64]
    dtype = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}[session.get_inputs()[0].type]
    assert session.run(None, {"image": np.ones((5, 3, 64, 64), dtype)})[0].shape == (5, 1, 16, 16)


class OneImage(nn.Module):
    def forward(self, image):
        return image.reshape(1, 48, -1).mean(2).reshape(1, 3, 4, 4) * image[:, :, :4, :4]


def test_a_network_of_one_image_is_not_freed():
    model = to_onnx.to_onnx(OneImage().eval(), (8, 8))
    with pytest.raises(ExportError, match="leave out --dynamic-batch"):
        to_onnx.free_batch(model)


def huge():
    conv = nn.Conv2d(3, 1, 1)
    conv.weight.data[0, 0] = 7e4
    return conv.eval()


def test_weights_beyond_half_precision_are_refused():
    with pytest.raises(ExportError, match="too large for float16"):
        onnx_float16.halve(to_onnx.to_onnx(huge(), (8, 8)))


@pytest.mark.slow
def test_weights_beyond_half_precision_are_refused_in_tflite():
    from edgeseg.export.channels_last import channels_last
    from edgeseg.export.to_tflite import to_tflite

    with torch.no_grad():
        data = to_tflite(channels_last(huge(), (8, 8)), (8, 8), int8=False)
    with pytest.raises(ExportError, match="too large for float16"):
        tflite_file.half_weights(data)
