import pytest

pytest.importorskip("onnxruntime")

from edgeseg.report.operators import profile_operators, summarise
from edgeseg.runtime.null_session import NullSession
from edgeseg.runtime.session import open_session
from tests.runtime.tiny_models import write_onnx, write_tflite


def event(node, microseconds, op, dtype, category="Node", kind="_kernel_time"):
    arguments = {"op_name": op, "output_type_shape": [{dtype: [1, 3]}]}
    return {"cat": category, "name": node + kind, "dur": microseconds, "args": arguments}


def test_summary_by_hand():
    # Two runs count, the first is the warm-up. c1: (2 + 4) / 2 = 3 ms, c2: 2 ms, together 5; add: 15 ms. In all 20.
    events = [
        *[event("c1", us, "QLinearConv", "uint8") for us in (90000, 2000, 4000)],
        *[event("c2", us, "QLinearConv", "uint8") for us in (90000, 2000, 2000)],
        *[event("add", us, "Add", "float") for us in (90000, 10000, 20000)],
        event("c1", 5, "QLinearConv", "uint8", kind="_fence_before"),
        event("session", 10**6, "", "", category="Session"),
    ]
    assert summarise(events, 2) == [
        {"op": "Add", "dtype": "float", "nodes": 1, "ms": 15.0, "share": 0.75},
        {"op": "QLinearConv", "dtype": "uint8", "nodes": 2, "ms": 5.0, "share": 0.25},
    ]


def test_nothing_was_traced():
    assert summarise([], 2) == []


def test_a_real_file(tmp_path):
    rows = profile_operators(open_session(write_onnx(tmp_path / "a.onnx")), runs=2)
    # Some processors' convolutions want another memory layout; ONNX Runtime then adds nodes that reorder.
    assert [(row["dtype"], row["nodes"]) for row in rows if row["op"] == "Conv"] == [("float", 1)]
    assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-3)


def test_other_backends_cannot_tell(tmp_path):
    assert profile_operators(NullSession()) is None
    assert profile_operators(open_session(write_tflite(tmp_path / "a.tflite"))) is None
