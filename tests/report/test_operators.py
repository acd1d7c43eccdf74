import pytest

pytest.importorskip("onnxruntime")

from edgeseg.errors import ModelError
from edgeseg.report.cost_file import count_file
from edgeseg.report.kernels import Kernel, assign, by_operator
from edgeseg.report.operators import profile, read_trace
from edgeseg.runtime.null_session import NullSession
from edgeseg.runtime.session import open_session
from tests.runtime.tiny_models import write_onnx, write_tflite


def event(node, microseconds, op, dtype, category="Node", kind="_kernel_time"):
    arguments = {"op_name": op, "output_type_shape": [{dtype: [1, 3]}]}
    return {"cat": category, "name": node + kind, "dur": microseconds, "args": arguments}


def test_a_trace_by_hand():
    # Three runs count, the first is the warm-up. The medians: c1 3 ms, c2 2 ms, add 15 ms.
    events = [
        *[event("c1", us, "QLinearConv", "uint8") for us in (90000, 2000, 3000, 90000)],
        *[event("c2", us, "QLinearConv", "uint8") for us in (90000, 2000, 2000, 2000)],
        *[event("add", us, "Add", "float") for us in (90000, 10000, 15000, 20000)],
        event("c1", 5, "QLinearConv", "uint8", kind="_fence_before"),
        event("session", 10**6, "", "", category="Session"),
    ]
    assert read_trace(events, 3) == [
        Kernel("QLinearConv", 3.0, "c1", "uint8"),
        Kernel("QLinearConv", 2.0, "c2", "uint8"),
        Kernel("Add", 15.0, "add", "float"),
    ]


def test_nothing_was_traced():
    assert read_trace([], 2) == []


@pytest.mark.parametrize("write", [write_onnx, write_tflite])
def test_a_real_file(tmp_path, write):
    path = write(tmp_path / "a.model")
    kernels = profile(open_session(path), runs=10)
    # Some processors' convolutions want another memory layout; ONNX Runtime then adds nodes that reorder.
    convolutions = [row for row in by_operator(kernels) if row["op"].startswith("Conv")]
    assert [row["nodes"] for row in convolutions] == [1]
    (layer,) = count_file(path).layers
    times = assign(kernels, [layer])
    assert list(times.ms) == [layer.name]
    assert times.total_ms == pytest.approx(sum(kernel.ms for kernel in kernels))


def test_other_backends_cannot_tell():
    with pytest.raises(ModelError, match="does not tell"):
        profile(NullSession())
