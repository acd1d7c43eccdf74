"""The commands from outside: exit status, and the one line that says what was wrong.

{tmp} in an argument is an empty folder; {model}, {int8}, {data}, {text} and {picture} are files made for the test.
"""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgeseg import __version__
from edgeseg.cli import Size, main
from edgeseg.errors import EdgesegError
from tests.runtime.sinks.test_sink import write_video
from tests.runtime.tiny_models import ONNX_SPEC, write_onnx, write_tflite

pytest.importorskip("onnxruntime")


@pytest.fixture
def files(tmp_path):
    """Names for the tables below: a model file, a data folder of two pictures, a text file, a picture, an empty folder."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("this is no model")
    frame = np.zeros((16, 32, 3), np.uint8)
    frame[:, :16, 1] = frame[:, 16:, 2] = 255  # green, then red: the model takes red for the person
    for kind, array in (("images", frame), ("masks", frame[..., 2])):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for stem in ("a", "b"):
            assert cv2.imwrite(str(tmp_path / "data" / kind / f"{stem}.png"), array)
    return {
        "model": write_onnx(tmp_path / "model.onnx"),
        "int8": write_tflite(tmp_path / "int8.tflite"),
        "roads": write_onnx(
            tmp_path / "roads.onnx", dataclasses.replace(ONNX_SPEC, classes=("road", "sky"), person_class=None)
        ),
        "bare": write_onnx(tmp_path / "bare.onnx", None),
        "data": tmp_path / "data",
        "text": tmp_path / "text.txt",
        "picture": tmp_path / "data" / "images" / "a.png",
        "tmp": tmp_path / "empty",
    }


def call(arguments, files=None):
    return CliRunner().invoke(main, [a.format(**(files or {})) for a in arguments.split()])


REFUSED = [
    # usage: exit status 2
    ("nonsense", 2, "No such command"),
    ("--nonsense", 2, "No such option"),
    ("bench --threads many", 2, "not a valid integer"),
    ("bench {model} --threads 0", 2, "x>=1"),
    ("bench {model} --warmup -1", 2, "x>=0"),
    ("bench {model} --min-seconds -1", 2, "x>=0"),
    ("bench --backend tpu", 2, "'tpu' is not one of"),
    ("eval", 2, "Missing argument"),
    ("eval {model}", 2, "Missing option '--data'"),
    ("eval {model} --data {data} --limit 0", 2, "x>=1"),
    ("models --size 64x64", 1, "edgeseg models MODEL"),
    ("models enet --size 60x64", 1, "use --size 64x64"),
    ("models nobody", 1, "no model"),
    ("models --nonsense", 2, "No such option"),
    ("train enet", 2, "Missing option '--data'"),
    ("train enet --data {data} --size 250", 2, "height x width"),
    ("segment", 2, "Missing argument"),
    ("segment {picture}", 2, "Missing option"),
    ("segment {picture} -o {tmp} --threads 0", 2, "x>=1"),
    ("blur --strength 2", 2, "0<=x<=1"),
    ("export --format pb", 2, "'pb' is not one of"),
    ("export --size 250", 2, "height x width"),
    ("export --min-agreement 2", 2, "0<=x<=1"),
    ("doctor surplus", 2, "unexpected extra argument"),
    # what a user can mend: exit status 1, one line
    ("bench {tmp}/no.onnx", 1, "does not exist"),
    ("bench {text}", 1, "neither a TFLite nor an ONNX model"),
    ("bench {bare}", 1, "carries no Spec"),
    ("bench {model} --backend litert", 1, "use ort"),
    ("bench {model} --min-seconds 0 --markdown {text}/table.md", 1, "cannot be written"),
    ("eval nobody --data {data}", 1, "no model and no checkpoint"),
    ("eval {text} --data {data}", 1, "not a readable safetensors checkpoint"),
    ("eval {tmp}/no.tflite --data {data}", 1, "does not exist"),
    ("eval {bare} --data {data}", 1, "carries no Spec"),
    ("eval {roads} --data {data}", 1, "knows no person"),
    ("eval {model} --data {tmp}", 1, "images"),
    ("eval {model} --data {data} --video {picture}", 1, "choose one"),
    ("eval {model} --video {picture}", 1, "is no video"),
    ("eval {model} --video {tmp}/no.mp4", 1, "no.mp4 does not exist"),
    ("train enet --data {data} --loss ce+focus", 1, "there is no loss 'focus'; there are: ce, focal, "),
    ("train person --qat --data {data} --loss ce", 1, "do not go with --qat"),
    ("train enet --data {data} --class-weights inverse", 2, "'none', 'enet', 'median'"),
    ("eval {model} --data {data} --backend litert", 1, "use ort"),
    ("train enet --data {tmp}", 1, "images"),
    ("train nobody --data {data}", 1, "nobody"),
    ("train enet --data {data} --teacher nobody", 1, "no model and no checkpoint file named 'nobody'"),
    ("train enet --data {data} --teacher enet", 1, "the teacher enet has fresh weights"),
    ("train enet --data {data} --teacher {text}", 1, "not a readable safetensors checkpoint"),
    ("train enet --data {data} --teacher person --temperature 0", 2, "x>0"),
    ("train enet --data {data} --temperature 3", 1, "belong to --teacher or --qat"),
    ("train enet --data {data} --distil-mirrored", 1, "belong to --teacher; add one"),
    ("train person --qat --data {data} --distil-scale 1.5", 1, "do not go with --qat"),
    ("train person --qat --data {data} --no-distil --teacher person", 1, "without a purpose"),
    ("train enet --data {data} --share books", 1, "is not SOURCE=X"),
    ("train enet --data {data} --schedule linear", 2, "'cosine', 'poly'"),
    ("train enet --data {data} --accumulate 0", 2, "x>=1"),
    ("train enet --data {data} --precision float16", 2, "'bf16', 'float32'"),
    ("train person --qat --data {data} --share books=2", 1, "do not go with --qat"),
    ("train person --qat --data {data} --schedule poly", 1, "do not go with --qat"),
    ("train enet --data {data} --no-distil", 1, "belongs to --qat"),
    ("train person --qat --data {data} --set width=0.5", 1, "do not go with --qat"),
    ("train enet --qat --data {data} -o {tmp}/run", 1, "has fresh weights; train it first"),
    ("train person --qat --data {tmp} -o {tmp}/run", 1, "images"),
    ("compress", 2, "Missing argument"),
    ("compress person", 1, "Give --search, or --recipe with a TOML file or one of: "),
    ("compress person --recipe pi3", 1, "there is no recipe pi3; give a TOML file, or one of: "),
    ("compress person --recipe {text}.toml", 1, "there is no recipe"),
    ("compress nobody --recipe pi4", 1, "no model and no checkpoint file named 'nobody'"),
    ("compress enet --recipe pi4", 1, "enet has fresh weights, and nothing to keep"),
    ("compress person --recipe pi4 --size 250x250", 1, "use --size 256x256"),
    ("compress person --recipe pi4 --trials 3", 1, "--trials, --workers and --storage belong to --search"),
    ("compress person --search --recipe pi4", 1, "do not go with --search"),
    ("compress person --search --workers 0", 2, "x>=1"),
    ("compress person --recipe pi4 --minutes 0", 2, "x>0"),
    ("export nobody", 1, "nobody"),
    ("export {text}", 1, "not a readable safetensors checkpoint"),
    ("segment {picture} -o {tmp} --model nobody", 1, "nobody"),
    ("segment {tmp}/no.png -o {tmp} --model {model}", 1, "no.png"),
    ("segment {picture} -o {tmp} --model {text}", 1, "neither a TFLite nor an ONNX model"),
    ("blur --webcam 0 --input {picture}", 1, "choose one"),
    ("blur --input {picture} --output {tmp}/out.png --model {bare}", 1, "carries no Spec"),
]


@pytest.mark.parametrize(("arguments", "status", "needle"), REFUSED, ids=[c[0] for c in REFUSED])
def test_refusals(files, arguments, status, needle):
    result = call(arguments, files)
    assert (result.exit_code, needle in result.stderr) == (status, True), result.output
    if status == 1:
        last = result.stderr.splitlines()[-1]
        assert last.startswith("edgeseg: "), "one line, in one place"
        assert needle in last


DONE = [
    ("--version", __version__),
    ("bench {model} --min-seconds 0", "| model.onnx | "),
    ("bench {model} {bare} --min-seconds 0", "- failed: "),
    ("eval {model} --data {data}", "IoU person      1.0000"),
    ("eval {int8} --data {data} --backend litert", "IoU person      1.0000"),
    ("bench {model} --min-seconds 0 --operators", "1 x Conv (float)"),
    ("models", "enet"),
    ("models enet --size 64x64", "Not counted: "),
    ("segment {picture} -o {tmp} --model {model}", "1 segmented"),
]


@pytest.mark.parametrize(("arguments", "needle"), DONE, ids=[c[0] for c in DONE])
def test_done(files, arguments, needle):
    result = call(arguments, files)
    assert result.exit_code == 0, result.output
    assert needle in result.stdout


JSON = [
    ("bench {model} --min-seconds 0 --json", {"device", "results"}),
    ("eval {model} --data {data} --json", {"images", "classes", "iou", "miou", "fwiou", "pixel_accuracy", "f1", "boundary_f"}),
    ("models --json", {"models"}),
    ("models enet --size 64x64 --json", {"params", "macs", "flops", "layers", "uncounted"}),
    ("segment {picture} -o {tmp} --model {model} --json", {"files"}),
    ("doctor --json", {"checks"}),
]


@pytest.mark.parametrize(("arguments", "keys"), JSON, ids=[c[0] for c in JSON])
def test_json_alone_on_stdout(files, arguments, keys):
    value = json.loads(call(arguments, files).stdout)
    assert keys <= value.keys()


def test_eval_by_hand(files):
    # The model sees the red right half exactly; the folder's masks are that half.
    result = json.loads(call("eval {model} --data {data} --limit 1 --json", files).stdout)
    assert result == {
        "images": 1,
        "classes": ["background", "person"],
        "iou": {"background": 1.0, "person": 1.0},
        **dict.fromkeys(("miou", "fwiou", "pixel_accuracy", "f1", "boundary_f"), 1.0),
        **dict.fromkeys(("mean_accuracy", "average_precision"), 1.0),
        "f1_by_class": {"background": 1.0, "person": 1.0},
        "hausdorff": 0.0,
        "hausdorff_95": 0.0,
    }


def test_eval_of_a_still_video(files, tmp_path):
    """The picture of the data folder, five times over: nothing flips."""
    clip = write_video(tmp_path / "clip.mp4", cv2.imread(str(files["picture"])))
    arguments = f"eval {{model}} --video {clip} --limit 4"
    (video,) = json.loads(call(f"{arguments} --json", files).stdout)["videos"]
    assert video["clip"] == str(clip)
    assert {kind: (v["frames"], v["flips"]) for kind, v in video["smoothing"].items()} == {"off": (4, 0.0), "on": (4, 0.0)}
    assert call(arguments, files).stdout.splitlines()[1].split()[1:4] == ["off", "4", "0.000"]
    assert "knows no person, only road, sky" in call(arguments.replace("{model}", "{roads}"), files).stderr


def test_bench_writes_what_was_asked_for(files):
    result = call("bench {model} --min-seconds 0 -o {tmp}/report --html {tmp}/page.html --markdown {tmp}/table.md", files)
    assert result.exit_code == 0, result.output
    folder = files["tmp"]
    assert json.loads((folder / "report" / "bench.json").read_text())["results"][0]["path"] == str(files["model"])
    assert (folder / "table.md").read_text() == (folder / "report" / "bench.md").read_text() == result.stdout
    assert (folder / "page.html").read_text().count("<section>") == 1
    joined = call("bench {model} --min-seconds 0 --join {tmp}/report/bench.json --html {tmp}/two.html", files)
    assert joined.exit_code == 0, joined.output
    assert (folder / "two.html").read_text().count("<section>") == 2


def test_bench_of_failures_alone_says_why_and_exits_1(files):
    result = call("bench {bare} {text} --json", files)
    assert result.exit_code == 1
    assert ["error" in row for row in json.loads(result.stdout)["results"]] == [True, True]


@pytest.mark.parametrize("name", [None, *sorted(main.commands)])
def test_help(name):
    result = CliRunner().invoke(main, [name, "--help"] if name else ["--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.stdout
    assert not name or main.commands[name].help


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_option_says_what_it_is(name):
    """By help text, or by a name and choices that need none."""
    plain = {"backend", "batch", "seed", "background", "help"}
    mute = [p.name for p in main.commands[name].params if getattr(p, "opts", [""])[0].startswith("-") and not p.help]
    assert set(mute) <= plain


SIZES = [
    ("256x128", (256, 128)),
    ("8X16", (8, 16)),
    ("256", None),
    ("0x8", None),
    ("-1x8", None),
    ("axb", None),
    ("1x2x3", None),
]


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_sizes_are_height_by_width(text, size):
    if size:
        assert Size()(text) == size
    else:
        with pytest.raises(Exception, match="height x width"):
            Size()(text)


def test_errors_of_ours_are_lines_and_all_else_keeps_its_traceback(monkeypatch):
    def raise_(error):
        def list_models():
            raise error

        return list_models

    monkeypatch.setattr("edgeseg.report.catalogue.list_models", raise_(EdgesegError("mend it so")))
    result = call("models")
    assert (result.exit_code, result.stderr) == (1, "edgeseg: mend it so\n")
    monkeypatch.setattr("edgeseg.report.catalogue.list_models", raise_(KeyError("ours")))
    assert isinstance(call("models").exception, KeyError)
    monkeypatch.setattr("edgeseg.report.catalogue.list_models", raise_(KeyboardInterrupt()))
    assert call("models").exit_code == 130


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m edgeseg models --json | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    assert "Traceback" not in done.stderr
