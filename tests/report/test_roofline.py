"""Limits by hand; peaks of this machine are measured for a moment."""

import pytest

from edgeseg.report.boards import BOARDS, Peaks
from edgeseg.report.cost_file import count_file
from edgeseg.report.peak_models import CHANNELS, LAYERS, MACS, SIDE, write_onnx, write_tflite
from edgeseg.report.roofline import add_limits, at_best_ms, bound_by, limit_ms, measure_peaks
from edgeseg.runtime.backends import open_backend

PEAKS = Peaks(100e9, 400e9, 10e9, True, "")


def layer(macs, moved, operands="float32", ms=None):
    return {"name": "x", "macs": macs, "moved_bytes": moved, "operands": operands, "ms": ms}


# 100 MMAC at 100 GMAC/s are 1 ms, at 400 GMAC/s 0.25 ms; 1 MB at 10 GB/s is 0.1 ms.
LIMITS = [
    (layer(100e6, 1e6), 1.0, "arithmetic"),
    (layer(100e6, 1e6, "int8"), 0.25, "arithmetic"),
    (layer(1e6, 1e6), 0.1, "memory"),
    (layer(0, 5e6), 0.5, "memory"),
]


@pytest.mark.parametrize(("given", "ms", "bound"), LIMITS)
def test_limits(given, ms, bound):
    assert limit_ms(given, PEAKS) == pytest.approx(ms)
    assert bound_by(given, PEAKS) == bound


def test_one_layer_after_the_other():
    assert at_best_ms([given for given, _, _ in LIMITS], PEAKS) == pytest.approx(1 + 0.25 + 0.1 + 0.5)


def test_a_row_gets_its_limits():
    layers = [layer(100e6, 1e6, ms=4.0), layer(0, 5e6, ms=None)]
    row = {"threads": 1, "counted_layers": layers, "layers": layers}
    add_limits(row, PEAKS.to_json())
    assert "counted_layers" not in row
    assert row["at_best_ms"]["measured"] == 1.5
    assert (layers[0]["limit_share"], layers[0]["bound"]) == (0.25, "arithmetic")
    assert "limit_share" not in layers[1]  # no time is known
    failed = {"path": "x", "error": "reason"}
    add_limits(failed, PEAKS.to_json())
    assert failed == {"path": "x", "error": "reason"}


def test_without_a_measurement_there_are_estimates_alone():
    row = {"threads": 1, "counted_layers": [layer(100e6, 0)]}
    add_limits(row, None)
    assert row["at_best_ms"].keys() == BOARDS.keys()
    # A Cortex-A76 at 2.4 GHz begins 8 MACs a cycle: 19.2 GMAC/s.
    assert row["at_best_ms"]["pi5"] == pytest.approx(100 / 19.2, abs=1e-4)


# 4 x 2.4 GHz x 8; NVIDIA's 472 GFLOPS in float16 are 236 in float32, that is 118 GMAC/s; 20 dense TOPS are 10 TMAC/s.
PUBLISHED = [
    ("pi4", 28.8e9, 57.6e9),
    ("pi5", 76.8e9, 307.2e9),
    ("jetson-nano", 118e9, None),
    ("orin-nano", 640e9, 10e12),
    ("pixel", 89.6e9, 358.4e9),
]


@pytest.mark.parametrize(("name", "float32", "int8"), PUBLISHED)
def test_boards(name, float32, int8):
    peaks = BOARDS[name].peaks()
    assert peaks.float32_macs_per_s == pytest.approx(float32, rel=1e-3)
    assert peaks.int8_macs_per_s == pytest.approx(int8, rel=1e-3) if int8 else peaks.int8_macs_per_s is None
    assert peaks.macs_per_s("int8") == (peaks.int8_macs_per_s or peaks.float32_macs_per_s)
    assert not peaks.is_measured
    assert "estimate" in peaks.how
    assert BOARDS[name].sources


def test_every_board_has_a_row_here():
    assert [name for name, _, _ in PUBLISHED] == list(BOARDS)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("suffix", "write"), [("tflite", write_tflite), ("onnx", write_onnx)])
def test_models_that_only_multiply(tmp_path, suffix, write, precision):
    path = tmp_path / f"peak.{suffix}"
    write(path, precision)
    cost = count_file(path)
    assert cost.macs == MACS == LAYERS * SIDE**2 * CHANNELS**2
    assert {layer.operands for layer in cost.layers} == {precision}
    assert open_backend(path).input_shape in ((1, SIDE, SIDE, CHANNELS), (1, CHANNELS, SIDE, SIDE))


def test_this_machine():
    peaks = measure_peaks(threads=2, seconds=0.02)
    assert peaks.is_measured
    assert min(peaks.float32_macs_per_s, peaks.int8_macs_per_s, peaks.bytes_per_s) > 1e6
    assert "2 thread" in peaks.how
