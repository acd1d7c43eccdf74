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
from tests.runtime.tiny_models import write_onnx, write_tflite

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
    page = (folder / "page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1
    assert "int8.tflite: the worst of 2 pictures of people" in page


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
