"""The README's tables of measurements are what is stored, and nothing else."""

import json
import re

import pytest

from tests.test_docs import ROOT, load_script

tables = load_script("make_tables")
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEVICE = {"board": None, "cpu": "A CPU", "cores_usable": 2, "versions": {"onnxruntime": "1.31"}, "load_1min": 0.1}


def stored(result, **device):
    return {"date": "2026-01-02T03:04:05Z", "device": DEVICE | device, "result": result}


def row(format_name, precision, median, **more):
    base = {"format": format_name, "precision": precision, "size_hw": [8, 16], "size_bytes": 8000, "runs": 1200}
    return base | {"latency_ms": {"median": median, "p90": 2 * median}} | more


RATIO = {"value": 2.0, "low": 1.9, "high": 2.1, "verdict": "2.00x (1.90 to 2.10)"}


@pytest.mark.parametrize("path", tables.DOCUMENTS, ids=lambda path: path.parent.name)
def test_documents_show_what_is_stored(path):
    text = path.read_text(encoding="utf-8")
    assert tables.BLOCK.search(text)
    assert tables.rewritten(text) == text, "run: make tables"


@pytest.mark.parametrize("name", ["int8", "models", "frame-cost"])
def test_the_readme_has_the_table(name):
    block = re.search(rf"<!-- table: {name} -->\n(.*?)<!-- end -->", README, re.DOTALL)
    assert block
    assert block[1].count("\n|") >= 4


def test_a_figure_that_was_edited_by_hand_is_seen():
    block = tables.BLOCK.search(README)
    edited = README.replace(block[0], re.sub(r"\d\.\d+", "0.123", block[0], count=1))
    assert edited != README
    assert tables.rewritten(edited) == README


def test_a_table_that_there_is_not():
    with pytest.raises(KeyError, match="nothing"):
        tables.rewritten("<!-- table: nothing -->\n<!-- end -->")


def test_int8_by_hand():
    files = [row("onnx", "float32", 4.0), row("onnx", "int8", 2.0, size_bytes=2000, speedup=RATIO), {"path": "x", "error": "y"}]
    text = tables.int8({"int8_person": stored({"results": files})}, tables.ASSETS)
    assert "| person, 8x16, float32 ONNX | 8 | 4.00 | 8.00 |  |  |" in text
    assert "| int8 ONNX | 2 | 2.00 | 4.00 | 0.25 | 2.00x (1.90 to 2.10) |" in text
    assert "A CPU, 2 cores, ONNX Runtime 1.31; one thread, 10 warm-up runs, 1,200 runs each in turn; 2026-01-02." in text
    same = RATIO | {"verdict": "no difference"}
    files[1]["speedup"] = same
    assert "| 0.25 | no difference |" in tables.int8({"int8_person": stored({"results": files})}, tables.ASSETS)


def test_a_busy_machine_is_confessed():
    files = [row("tflite", "float32", 4.0), row("tflite", "int8", 2.0, speedup=RATIO)]
    text = tables.int8({"int8_person": stored({"results": files}, load_1min=7.6)}, tables.ASSETS)
    assert "**beside other work, of a load of 8**" in text


def test_what_a_frame_costs():
    frames = [
        {
            "size": "720p",
            "keyframes": "every",
            "inferred": 1.0,
            "what": "whole frame",
            "plain_ms": 30,
            "ours_ms": 3,
            "ratio": [9, 10, 11],
        },
        {
            "size": "720p",
            "keyframes": "auto",
            "inferred": 0.25,
            "what": "whole frame",
            "plain_ms": 30,
            "ours_ms": 2,
            "ratio": [14, 15, 16],
        },
    ]
    text = tables.frame({"frame_cost": stored({"rows": frames})}, tables.ASSETS)
    assert "| 720p | every frame | whole frame | 30.00 | 3.00 | 10.0x (9.0 to 11.0) |" in text
    assert "| 720p | 25% of the frames | whole frame | 30.00 | 2.00 | 15.0x (14.0 to 16.0) |" in text


def test_compression():
    one = {
        "from": "a",
        "to": "b",
        "sizes_hw": [[256, 416], [192, 320]],
        "macs": [2e8, 1e8],
        "size_bytes": [4000, 1000],
        "speedup": {"value": 2.0, "low": 1.9, "high": 2.1},
        "accuracy": {"portraits": [0.9512, 0.9487]},
        "command": "edgeseg compress a",
    }
    text = tables.compression({"compression": stored({"rows": [one]})}, tables.ASSETS)
    cells = "a -> b | 256x416 -> 192x320 | 200 -> 100 | 4 -> 1 | 2.00x (1.90 to 2.10) | portraits 0.951 -> 0.949"
    assert f"| {cells} | `edgeseg compress a` |" in text
    one["sizes_hw"] = [[256, 416], [256, 416]]
    assert "| a -> b | 256x416 | 200" in tables.compression({"compression": stored({"rows": [one]})}, tables.ASSETS)


def test_halves():
    one = {
        "model": "a",
        "macs": [4e7, 2e7],
        "size_bytes": 1500,
        "minutes": 6.4,
        "metric": "iou",
        "accuracy": [0.92, 0.8604],
        "agreement": {"tflite": 0.99371, "onnx": 0.98},
        "float_layers": 2,
    }
    text = tables.halves({"halves": {**stored({"rows": [one]}), "command": "half"}}, tables.ASSETS)
    assert "| a | 40 -> 20 | 2 | 6 | iou 0.920 -> 0.860 | 99.37% | 98.00% | 2 |" in text
    assert "`half` measures them anew" in text


def test_trials():
    found = [{"value": 1 + i / 100, "low": 0.98 + i / 100, "verdict": "-", "load_1min": 0.5 + i} for i in range(3)]
    result = {
        "file": "a.tflite",
        "min_seconds": 2.0,
        "tolerance_percent": 5.0,
        "slower": {"value": 1.154, "low": 1.149, "high": 1.165},
        "trials": [{"same": one, "slower": one} for one in found],
        "same_called_slower": 0,
        "slower_called_slower": 3,
    }
    text = tables.trials({"regression_trials": stored(result)}, tables.ASSETS)
    assert "| a.tflite | the same file | 1.000 to 1.020 | 0.980 to 1.000 | 0.5 to 2.5 | 0 of 3 |" in text
    assert "| a.tflite | 1.15 times as long (1.15 to 1.17) | 1.000 to 1.020 | 0.980 to 1.000 | 0.5 to 2.5 | 3 of 3 |" in text


@pytest.mark.parametrize("make", [tables.int8, tables.frame, tables.compression, tables.halves, tables.trials])
def test_nothing_stored_no_table(make):
    assert make({}, tables.ASSETS) == ""


CARD = """| file | size |
| --- | --- |

| pictures | number | float | int8 tflite | int8 onnx |
| --- | ---: | --- | --- | --- |
| portraits | 12 | 0.9 / 0.8 | 0.7996 / 0.6 | 0.5 / 0.4 |
| clip a | 30 | 0.1% | 0.052% | - |
"""


def test_a_card_is_read():
    assert tables.card_scores(CARD) == {"portraits": ("12", "0.7996 / 0.6"), "clip a": ("30", "0.052%")}
    assert tables.card_scores("no table") == {}
    assert tables._short("0.7996 / 0.6") == "0.7996 / 0.6"
    assert tables._short("10.51% called person") == "10.51 %"


@pytest.mark.parametrize("path", sorted(tables.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_say_where_they_are_from(path):
    one = json.loads(path.read_text(encoding="utf-8"))
    assert one["schema"] == 1
    assert one["benchmark"] == path.stem
    assert one["device"].keys() >= DEVICE.keys() | {"memory_bytes", "os", "python"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one["date"])
    assert one["command"].startswith(("python benchmarks/", "edgeseg "))


def test_phone_by_hand():
    figures = {
        "phone": {"images": 3, "iou": 0.97281, "boundary_f": None},
        "person": {"images": 3, "iou": 0.5, "boundary_f": 0.25},
    }
    nobody = {name: {"images": 2, "called_person": share} for name, share in (("phone", 0.29024), ("person", 0.00504))}
    rows = [{"kind": "portraits", "figures": figures}, {"kind": "empty rooms", "figures": nobody}]
    text = tables.phone({"phone": stored({"rows": rows}) | {"command": "python phone.py"}}, tables.ASSETS)
    assert text.splitlines()[0] == "| pictures | number | phone | person |"
    assert "| portraits | 3 | 0.973 / - | 0.500 / 0.250 |" in text
    assert "| empty rooms | 2 | 29.02% | 0.50% |" in text
    assert "`python phone.py` measures them anew." in text
