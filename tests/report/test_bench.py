"""A whole report over small ONNX files that the tests write."""

import csv
import dataclasses
import io
import json
import os
import signal
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

from edgeseg import assets
from edgeseg.errors import DataError, ModelError, OutputError, UsageError
from edgeseg.report import probe as probe_module
from edgeseg.report.bench import Options, _compare, find_files, run_bench
from edgeseg.report.boards import BOARDS
from edgeseg.report.latency import Timing
from edgeseg.report.page import SHORTEST_MS, to_csv, to_html, to_json, to_markdown, write_text
from edgeseg.report.probe import peak_rss_bytes, probe
from edgeseg.report.schema import READABLE, SCHEMA, read_report
from tests.runtime.tiny_models import ONNX_SPEC, write_onnx, write_tflite

QUICK = Options(min_seconds=0, warmup=1)
PROMISED = {"path", "backend", "threads", "size_hw", "latency_ms", "runs", "macs", "params", "size_bytes", "peak_rss_bytes"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    spec = dataclasses.replace(ONNX_SPEC, params=48, macs=3072, accuracy={"iou/val": 0.5})
    write_onnx(folder / "float.onnx", spec)
    write_onnx(folder / "int8.onnx", dataclasses.replace(spec, precision="int8", person_class=None))
    write_tflite(folder / "int8.tflite")
    write_onnx(folder / "unknown.onnx", None)
    (folder / "broken.onnx").write_bytes(b"\x08\x08no model")
    return folder


@pytest.fixture(scope="module")
def report(folder):
    return run_bench(
        [folder / name for name in ("float.onnx", "unknown.onnx", "broken.onnx", "int8.onnx", "int8.tflite")], QUICK
    )


def test_the_keys_are_as_promised(report, folder):
    assert report.keys() == {"schema", "device", "measured", "energy", "roofline", "results", "comparisons"}
    row = report["results"][0]
    assert row.keys() >= PROMISED
    assert row["latency_ms"].keys() == {"median", "p90", "p99", "max", "cold"}
    assert row["path"] == str(folder / "float.onnx")
    assert (row["backend"], row["format"], row["threads"], row["size_hw"]) == ("ort", "onnx", 1, [32, 32])
    assert (row["macs"], row["flops"], row["params"]) == (3072, 6144, 48)
    assert row["size_bytes"] == (folder / "float.onnx").stat().st_size
    assert (row["runs"], row["warmup"]) == (50, 1)
    assert 0 < row["latency_ms"]["median"] <= row["latency_ms"]["p90"] <= row["latency_ms"]["p99"]
    assert row["latency_ms"]["cold"] > row["latency_ms"]["median"]
    assert row["latency_ms"]["p99"] <= row["latency_ms"]["max"] == row["quantiles_ms"][-1]
    assert row["stages_ms"].keys() == {"prepare", "decode"}
    assert {len(blocks) for blocks in row["blocks"].values()} == {row["rounds"]}
    assert row["cost"]["macs"] == 3072  # counted in the file; that of its Spec is the network's
    assert row["at_best_ms"].keys() == BOARDS.keys()
    assert row["energy_mj"] is None or row["energy_mj"] > 0
    assert json.loads(to_json(report)) == report


def test_a_file_that_fails_costs_one_row(report):
    assert ["error" in row for row in report["results"]] == [False, True, True, False, False]
    assert "carries no Spec" in report["results"][1]["error"]
    assert report["results"][1].keys() == {"path", "error"}


def test_the_ratio_is_against_the_float_file(report, folder):
    first, *_, onnx, tflite = report["results"]
    assert "speedup" not in first
    for row in (onnx, tflite):
        assert row["speedup"]["against"] == str(folder / "float.onnx")
        assert row["speedup"]["low"] <= row["speedup"]["value"] <= row["speedup"]["high"]


def test_both_backends_are_measured(report):
    row = report["results"][-1]
    assert (row["backend"], row["format"], row["precision"], row["runs"]) == ("litert", "tflite", "int8", 50)
    assert row["macs"] is None  # its Spec does not say


def test_threads_are_swept_in_one_run(folder):
    report = run_bench([folder / "float.onnx", folder / "int8.onnx"], Options(threads=(1, 2), min_seconds=0, warmup=1))
    rows = report["results"]
    assert [(Path(row["path"]).name, row["threads"]) for row in rows] == [
        *(("float.onnx", 1), ("float.onnx", 2), ("int8.onnx", 1), ("int8.onnx", 2)),
    ]
    assert report["measured"]["threads"] == [1, 2]
    pairs = [(pair["first"], pair["second"], pair["differ"]) for pair in report["comparisons"]]
    assert pairs == [(0, 1, "threads"), (0, 2, "precision"), (1, 3, "precision"), (2, 3, "threads")]
    assert "float.onnx, 2 threads" in to_markdown(report)


def test_layers_have_times_and_limits(folder, monkeypatch):
    monkeypatch.setattr("edgeseg.report.roofline.SECONDS", 0.05)
    options = dataclasses.replace(QUICK, operators=True, roofline=True)
    report = run_bench([folder / "float.onnx", folder / "int8.tflite"], options)
    peaks = report["roofline"]["measured"]["1"]
    assert peaks["is_measured"]
    assert not any(board["peaks"]["is_measured"] for board in report["roofline"]["estimates"].values())
    for row in report["results"]:
        (layer,) = row["layers"]
        assert layer["ms"] >= 0  # ONNX Runtime's clock counts whole microseconds, and this layer may take less than one
        least = max(layer["macs"] / peaks[f"{layer['operands']}_macs_per_s"], layer["moved_bytes"] / peaks["bytes_per_s"])
        assert layer["limit_ms"] == pytest.approx(1e3 * least, abs=1e-5)
        if layer["ms"]:
            assert layer["limit_share"] == pytest.approx(1e3 * least / layer["ms"], rel=0.1, abs=1e-3)
        assert row["at_best_ms"]["measured"] == pytest.approx(1e3 * least, abs=1e-4)
    page = to_html([report])
    long_enough = sum(row["layers"][0]["ms"] >= SHORTEST_MS for row in report["results"])
    assert page.count("Roofline</h4>") == long_enough
    assert ("the limit by memory" in page) == (long_enough > 0)


def test_a_spreadsheet(report):
    text = to_csv([report])
    first, lines = next(csv.DictReader(io.StringIO(text))), list(csv.reader(io.StringIO(text)))
    assert first["file"] == "float.onnx"
    assert float(first["median ms"]) == round(report["results"][0]["latency_ms"]["median"], 2)
    assert len({len(line) for line in lines}) == 1
    assert [line[-1] != "" for line in lines[1:]] == ["error" in row for row in report["results"]]


@pytest.mark.parametrize("schema", READABLE)
def test_older_reports_are_read_and_shown(report, tmp_path, schema):
    old = json.loads(to_json(report)) | {"schema": schema}
    if schema == 1:  # as it was: no blocks, no costs, no comparisons
        for key in ("energy", "roofline", "comparisons"):
            del old[key]
        for row in old["results"]:
            for key in ("blocks", "cost", "quantiles_ms", "at_best_ms", "energy_mj", "reference_repeats"):
                row.pop(key, None)
        del old["device"]["throttled"]
    (tmp_path / "old.json").write_text(json.dumps(old))
    read = read_report(tmp_path / "old.json")
    assert "float.onnx" in to_html([read, report])
    assert "float.onnx" in to_markdown(read)


def test_no_float_file_no_ratio(folder):
    (row,) = run_bench([folder / "int8.onnx"], QUICK)["results"]
    assert "speedup" not in row


REFERENCES = [
    # (model, format, precision) of the files in order -> which is the reference of which
    ("int8 against float", [("m", "tflite", "int8"), ("m", "tflite", "float32")], [1, None]),
    ("float32 before float16", [("m", "onnx", "float16"), ("m", "onnx", "float32"), ("m", "onnx", "int8")], [1, None, 1]),
    ("float16 alone", [("m", "onnx", "float16"), ("m", "onnx", "int8")], [None, 0]),
    (
        "its own format",
        [("m", "onnx", "float32"), ("m", "tflite", "float32"), ("m", "tflite", "int8"), ("m", "onnx", "int8")],
        [None, None, 1, 0],
    ),
    ("its own model", [("n", "onnx", "float32"), ("m", "onnx", "float32"), ("m", "onnx", "int8")], [None, None, 1]),
    ("else the first", [("n", "onnx", "float32"), ("o", "onnx", "float32"), ("m", "tflite", "int8")], [None, None, 0]),
    ("no float", [("m", "onnx", "int8"), ("m", "tflite", "int8")], [None, None]),
]


@pytest.mark.parametrize(("files", "expected"), [c[1:] for c in REFERENCES], ids=[c[0] for c in REFERENCES])
def test_the_reference(files, expected):
    same = {"size_hw": [8, 8], "threads": 1}
    rows = [{"path": str(i), "model": m, "format": f, "precision": p, **same} for i, (m, f, p) in enumerate(files)]
    _compare(rows, {i: Timing([[1.0 + i]] * 10) for i in range(len(rows))})
    assert [row.get("speedup", {}).get("against") for row in rows] == [None if e is None else str(e) for e in expected]
    assert all(
        row["speedup"]["value"] == round((1 + e) / (1 + i), 3)
        for i, (row, e) in enumerate(zip(rows, expected, strict=True))
        if e is not None
    )


def test_markdown_says_how_it_was_measured(report):
    text = to_markdown(report)
    header, rule, *rows = (line for line in text.splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in header.strip("|").split("|")][:7] == [
        *("file", "median ms", "p90 ms", "p99 ms", "max ms", "cold ms", "against float"),
    ]
    assert len({len(line) for line in (header, rule, *rows)}) == 1  # columns are aligned
    for needle in (
        "float.onnx",
        "32x32",
        "iou/val 0.500",
        "1 warm-up runs",
        "FLOPs = 2 x MACs",
        "failed: ",
        "no Spec",
        "numpy ",
    ):
        assert needle in text


def test_html_needs_nothing_else_and_escapes(report):
    other = json.loads(to_json(report))
    other["device"]["board"] = "Board <script>alert(1)</script>"
    page = to_html([report, other])
    assert page.count("<section>") == 2
    assert "<script" not in page
    assert "Board &lt;script&gt;" in page
    assert "http" not in page
    assert page.count("float.onnx</td>") == 2 * 2 + 1  # twice for each device, once among the estimates


def test_a_report_comes_back(report, tmp_path):
    write_text(tmp_path / "new" / "a.json", to_json(report))
    assert read_report(tmp_path / "new" / "a.json") == report


UNREADABLE = [
    ("not there", None, "cannot be read"),
    ("not JSON", "{", "not JSON"),
    ("something else", "[1]", "not a report"),
    (
        "of another time",
        json.dumps({"schema": SCHEMA + 1, "device": {}, "measured": {}, "results": []}),
        f"schema {SCHEMA + 1}",
    ),
    ("results that are none", json.dumps({"schema": SCHEMA, "device": {}, "measured": {}, "results": 3}), "not a report"),
]


@pytest.mark.parametrize(("text", "needle"), [c[1:] for c in UNREADABLE], ids=[c[0] for c in UNREADABLE])
def test_reports_that_cannot_be_read(tmp_path, text, needle):
    path = tmp_path / "report.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=needle):
        read_report(path)


def test_a_page_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_text(tmp_path / "file" / "page.html", "")


@pytest.mark.parametrize("options", [{"threads": (0,)}, {"threads": ()}, {"warmup": -1}, {"min_seconds": -0.1}])
def test_options_that_cannot_be_right(options):
    with pytest.raises(UsageError, match="at least"):
        Options(**options)


def asset(name, *files):
    table = {(format, precision): Path(f"/assets/{name}.{format}") for format, precision in files}
    return assets.Asset(name, "enet", "", (8, 8), 1, 1, {}, "", Path(), table, {})


def test_names_become_their_int8_files(monkeypatch):
    person = asset(assets.DEFAULT, ("tflite", "int8"), ("onnx", "int8"))
    monkeypatch.setattr(assets, "trained", lambda: {assets.DEFAULT: person, "other": asset("other", ("onnx", "int8"))})
    both = [Path(f"/assets/{assets.DEFAULT}.{format}") for format in ("tflite", "onnx")]
    monkeypatch.setattr("edgeseg.report.bench.INSTALLED", {"litert": lambda: "x", "ort": lambda: "y"})
    assert find_files([]) == both
    assert find_files([assets.DEFAULT, "a/file.onnx"]) == [*both, Path("a/file.onnx")]
    assert find_files([], "ort") == both[1:]
    with pytest.raises(ModelError, match="does not ship as int8 tflite"):
        find_files(["other"], "litert")
    monkeypatch.setattr("edgeseg.report.bench.INSTALLED", {"litert": lambda: None, "ort": lambda: "y"})
    assert find_files([]) == both[1:]
    monkeypatch.setattr("edgeseg.report.bench.INSTALLED", {"litert": lambda: None, "ort": lambda: None})
    with pytest.raises(ModelError, match="no inference backend"):
        find_files([])


def test_the_child_does_not_inherit_the_memory_of_a_large_parent(folder):
    ballast = bytearray(512 * 2**20)
    ballast[::4096] = b"x" * len(ballast[::4096])  # touched, so that it is resident
    assert peak_rss_bytes() > 512 * 2**20
    _, peak = probe(folder / "float.onnx", runs=1)
    assert 2**20 < peak < 400 * 2**20
    del ballast


@pytest.mark.parametrize(
    ("child", "needle"),
    [
        (f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})", "SIGSEGV"),
        ("raise RuntimeError('out of luck')", "out of luck"),
        ("print('chatter')", "process of its own"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_child_that_dies_is_a_reason_not_an_end(monkeypatch, tmp_path, child, needle):
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{child}"\n')
    script.chmod(0o755)
    monkeypatch.setattr(probe_module.sys, "executable", str(script))
    with pytest.raises(ModelError, match=needle):
        probe(Path("model.onnx"))


def test_a_child_that_hangs(monkeypatch, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec sleep 20\n")
    script.chmod(0o755)
    monkeypatch.setattr(probe_module.sys, "executable", str(script))
    monkeypatch.setattr(probe_module, "TIMEOUT_S", 0.2)
    with pytest.raises(ModelError, match="no result within"):
        probe(Path("model.onnx"))
