"""`edgeseg bench` with its options, on small files."""

import importlib.util
import json

import cv2
import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("jinja2")

from click.testing import CliRunner

from edgeseg.cli import main
from tests.runtime.tiny_models import TFLITE_SPEC, write_onnx, write_tflite

QUICK = ["--min-seconds", "0", "--warmup", "0"]


@pytest.fixture
def folder(tmp_path):
    write_onnx(tmp_path / "float.onnx")
    write_tflite(tmp_path / "int8.tflite")
    for part in ("images", "masks"):
        (tmp_path / "people" / part).mkdir(parents=True)
    for i in range(3):  # the person is what is red: the left half
        frame, mask = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
        frame[:, : 24 + 8 * i, 2], mask[:, : 24 + 8 * i] = 255, 255
        cv2.imwrite(str(tmp_path / "people" / "images" / f"{i}.png"), frame)
        cv2.imwrite(str(tmp_path / "people" / "masks" / f"{i}.png"), mask)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, ["bench", *map(str, arguments), *QUICK])


def test_accuracy_and_the_worst_pictures(folder):
    files = [folder / "float.onnx", folder / "int8.tflite"]
    done = call(*files, "--data", folder / "people", "--pictures", 2, "--json", "--html", folder / "page.html")
    assert done.exit_code == 0, done.output
    for row in json.loads(done.stdout)["results"]:
        measured = row["measured_accuracy"]
        assert (measured["data"], measured["images"]) == ("people", 2)
        assert measured["miou"] > 0.8
        assert measured["iou"].keys() == {"background", "person"}
        assert sum(source["images"] for source in measured["sources"].values()) == 2
    page = (folder / "page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1
    assert "int8.tflite: the worst of 2 pictures of people" in page


def test_by_class_and_by_source_and_against_float(folder):
    (folder / "people" / "manifest.csv").write_text("file,source\n0.png,here\n1.png,there\n2.png,there\n")
    done = call(folder / "float.onnx", folder / "int8.tflite", "--data", folder / "people", "--json", "-o", folder / "out")
    assert done.exit_code == 0, done.output
    first, second = json.loads(done.stdout)["results"]
    assert {name: one["images"] for name, one in first["measured_accuracy"]["sources"].items()} == {"here": 1, "there": 2}
    assert "parity" not in first
    parity = second["parity"]
    assert parity["against"] == "float.onnx"
    assert 0.9 < parity["agreement"] <= 1
    for row in (first, second):
        measured = row["measured_accuracy"]
        assert measured["miou"] == pytest.approx(sum(measured["iou"].values()) / 2, abs=1e-4)
        for name in ("bench.md", "bench.csv", "bench.html"):
            text = (folder / "out" / name).read_text()
            assert f"{measured['iou']['person']:.3f}" in text, name
            assert f"{measured['sources']['there']['miou']:.3f}" in text, name


def test_a_source_in_which_nobody_is(folder):
    """Grey (a logit of 0) but for a red square of 16 x 16 of 64 x 64 pixels, which is no person.

    Logits are 8 x 8, and enlarged they are above 0 up to half a cell, 4 pixels, beside the square: 24 x 24 are called a person.
    """
    frame = np.full((64, 64, 3), 90, np.uint8)
    frame[16:32, 16:32] = (0, 0, 255)
    cv2.imwrite(str(folder / "people" / "images" / "3.png"), frame)
    cv2.imwrite(str(folder / "people" / "masks" / "3.png"), np.zeros((64, 64), np.uint8))
    rows = [f"{i}.png,{'nobody' if i == 3 else 'people'}" for i in range(4)]
    (folder / "people" / "manifest.csv").write_text("\n".join(["file,source", *rows]) + "\n")
    done = call(folder / "float.onnx", "--data", folder / "people", "--json", "-o", folder / "out")
    sources = json.loads(done.stdout)["results"][0]["measured_accuracy"]["sources"]
    assert sources["nobody"] == {"images": 1, "false_share": round(24 * 24 / (64 * 64), 5)}
    assert "false_share" not in sources["people"]
    for name in ("bench.md", "bench.csv", "bench.html"):
        assert f"{sources['nobody']['false_share']:.2%} false" in (folder / "out" / name).read_text(), name


LAYER = {"operator": "conv2d", "own_db": 40.0, "accumulated_db": 31.5, "logits_db": 44.0, "agreement": 0.9988, "miou_lost": 0.1}


def test_what_int8_costs_each_layer(folder):
    layers = [LAYER | {"layer": "stem"}, LAYER | {"layer": "head", "agreement": 0.9, "own_db": float("inf")}]
    stem = "{}-{}x{}-int8".format(TFLITE_SPEC.model, *TFLITE_SPEC.size)
    (folder / "good.json").write_text(json.dumps({"model": stem, "images": 7, "layers": layers}))
    (folder / "other.json").write_text(json.dumps({"model": "another", "images": 7, "layers": layers}))
    (folder / "bad.json").write_text("[]")
    options = [part for name in ("good", "other", "bad", "missing") for part in ("--sensitivity", folder / f"{name}.json")]
    done = call(folder / "int8.tflite", *options, "--json", "-o", folder / "out")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["results"]
    assert row["sensitivity"]["images"] == 7
    assert [layer["own_db"] for layer in row["sensitivity"]["layers"]] == [40.0, None]
    page = (folder / "out" / "bench.html").read_text()
    assert page.index("head <small>") < page.index("stem <small>")  # the worst first
    assert "10.000% of pixels; own no noise, accumulated 31.5 dB" in page
    text = (folder / "out" / "bench.md").read_text()
    assert "     - dB    31.5 dB   10.000% of pixels  head" in text
    assert text.index("of pixels  head") < text.index("  40.0 dB    31.5 dB    0.120% of pixels  stem")
    for needle in ("is of another, of which this report has no file", "is no sensitivity", "cannot be read"):
        assert needle in page


def test_a_report_to_join_that_is_none_costs_one_line(folder):
    done = call(folder / "float.onnx", "--join", folder / "nothing.json", "-o", folder / "out")
    assert done.exit_code == 0, done.output
    for name in ("bench.md", "bench.csv", "bench.html"):
        assert "nothing.json cannot be read" in (folder / "out" / name).read_text(), name


def test_a_folder_that_is_none_costs_the_accuracy_alone(folder):
    done = call(folder / "float.onnx", "--data", folder / "nowhere", "--json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["results"]
    assert "nowhere" in row["accuracy_error"]
    assert row["latency_ms"]["median"] > 0


def test_threads_and_a_spreadsheet(folder):
    done = call(folder / "float.onnx", "--threads", "1,2,1", "--csv", folder / "t.csv")
    assert done.exit_code == 0, done.output
    lines = (folder / "t.csv").read_text().splitlines()
    assert len(lines) == 1 + 2


REFUSED = [
    (["--threads", "1,zero"], "not a valid integer"),
    (["--threads", "1,0"], "x>=1"),
    (["--data", ".", "--host", "pi"], "leave out --host"),
    (["--sensitivity", "x", "--host", "pi"], "leave out --host"),
    (["--pictures", "0"], "x>=1"),
]


@pytest.mark.parametrize(("arguments", "needle"), REFUSED)
def test_options_that_cannot_be_right(folder, arguments, needle):
    done = call(folder / "float.onnx", *arguments)
    assert done.exit_code != 0
    assert needle in done.output


def test_without_jinja2_the_page_is_refused_before_and_a_folder_does_without(folder, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "jinja2" else real(name, *rest))
    refused = call(folder / "float.onnx", "--html", folder / "p.html")
    assert refused.exit_code == 1
    assert "jinja2" in refused.output
    done = call(folder / "float.onnx", "-o", folder / "out")
    assert done.exit_code == 0, done.output
    assert {path.name for path in (folder / "out").iterdir()} == {"bench.json", "bench.md", "bench.csv"}
