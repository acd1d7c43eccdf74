"""Estimates of what has not been made yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeseg import assets
from edgeseg.errors import UsageError
from edgeseg.models.checkpoint import load_model
from edgeseg.recipes.estimate import Speed, costs, device_speed, file_bytes
from edgeseg.report.schema import SCHEMA
from tests.recipes.tiny import CARD


@pytest.mark.parametrize("name", ["person", "person-large", "person-small", "enet-person"])
def test_the_size_of_the_files_that_ship(name: str) -> None:
    network = load_model(name).network
    for path in assets.trained()[name].files.values():
        assert file_bytes(network, "int8") == pytest.approx(path.stat().st_size, rel=0.03)


def test_costs_by_hand(tiny: Path) -> None:
    network = load_model(tiny).network
    found = costs(network, (32, 32), "float32", Speed(2e6, "a board"))
    assert found.latency_ms == found.macs / 2e6
    assert found.params == sum(p.numel() for p in network.parameters())
    assert costs(network, (64, 64), "int8").latency_ms is None
    assert costs(network, (64, 64), "int8").macs > 3 * found.macs
    assert found.size_bytes > 3 * file_bytes(network, "int8") / 2


def row(model: str, macs: float, median: float, **changes: Any) -> dict[str, Any]:
    of = {"path": f"{model}.tflite", "model": model, "macs": macs, "precision": "int8", "format": "tflite"}
    return {**of, "latency_ms": {"median": median}, **changes}


ROWS = [
    row("big", 400e6, 40.0),
    row("near", 100e6, 20.0),
    row("near-float", 100e6, 50.0, precision="float32"),
    row("near-onnx", 101e6, 25.0, format="onnx"),
    {"path": "broken.tflite", "error": "cannot be run"},
]


@pytest.fixture
def report(tmp_path: Path) -> str:
    path = tmp_path / "pi.json"
    path.write_text(json.dumps({"schema": SCHEMA, "device": {"board": "Pi", "cores": 4}, "measured": {}, "results": ROWS}))
    return str(path)


CHOSEN = [
    ("mine", 110e6, "int8", {"tflite"}, 5e6, "near.tflite on Pi, 4 cores"),
    ("mine", 390e6, "int8", {"tflite"}, 10e6, "big.tflite on Pi, 4 cores"),
    ("big", 110e6, "int8", {"tflite"}, 10e6, "big.tflite on Pi, 4 cores"),  # the model itself
    ("mine", 110e6, "float32", {"tflite", "onnx"}, 2e6, "near-float.tflite on Pi, 4 cores"),
]


@pytest.mark.parametrize(("model", "macs", "precision", "formats", "speed", "source"), CHOSEN)
def test_the_row_that_is_nearest(
    report: str, model: str, macs: int, precision: str, formats: set[str], speed: float, source: str
) -> None:
    assert device_speed(report, model, CARD, macs, precision, formats) == Speed(speed, source)


def test_a_device_without_such_a_file(report: str) -> None:
    with pytest.raises(UsageError, match=r"has no figure of a float16 tflite file; measure one there: edgeseg bench FILE"):
        device_speed(report, "mine", CARD, 10**8, "float16", {"tflite"})
