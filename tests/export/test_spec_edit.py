"""`edgeseg spec`: showing, mending and attaching."""

import json

import pytest
from click.testing import CliRunner

from edgeseg.cli import main
from edgeseg.errors import SpecError, UsageError
from edgeseg.export.metadata import read
from edgeseg.export.spec_edit import edit, facts, parse
from tests.runtime.tiny_models import write_onnx, write_tflite


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("size=256x192", [256, 192]),
        ("size=[256, 192]", [256, 192]),
        ("classes=background, person", ["background", "person"]),
        ('classes=["a,b", "c"]', ["a,b", "c"]),
        ("person_class=null", None),
        ("scale=0.5", 0.5),
        ("licence=research use=only", "research use=only"),
        ("model=", ""),
    ],
)
def test_parse(assignment, value):
    assert list(parse([assignment]).values()) == [value]


@pytest.mark.parametrize(("assignment", "message"), [("size", "no '='"), ("height=3", "there are: model"), ("=3", "no field")])
def test_parse_refuses(assignment, message):
    with pytest.raises(UsageError, match=message):
        parse([assignment])


def test_facts_are_what_the_file_itself_says(tmp_path):
    found = facts(write_tflite(tmp_path / "m.tflite", None))
    assert tuple(found["size"]) == (32, 32)
    assert (found["output_size"], found["layout"], found["input_dtype"]) == ([8, 8], "NHWC", "int8")
    assert facts(write_onnx(tmp_path / "m.onnx", None))["layout"] == "NCHW"


def test_a_foreign_file_is_attached_to(tmp_path):
    path = write_onnx(tmp_path / "m.onnx", None)
    spec = edit(path, parse(["model=red", "classes=background,person", "person_class=1", "output=logits"]))
    assert read(path) == spec
    assert (spec.size, spec.output_size, spec.layout, spec.person_class) == ((32, 32), (8, 8), "NCHW", 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["size=64x64"], "the model takes"),
        (["output_size=9x9"], "the model gives"),
        (["layout=NHWC"], "the model takes"),
        (["output=colours"], "must be one of"),
        (["person_class=7"], "class 7"),
        (["scale=big"], "must be float"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path, changes, message):
    path = write_onnx(tmp_path / "m.onnx")
    data = path.read_bytes()
    with pytest.raises(SpecError, match=message):
        edit(path, parse(changes))
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(SpecError, match="lacks model, output, classes"):
        edit(write_onnx(tmp_path / "m.onnx", None), {})


def test_the_command(tmp_path):
    path = str(write_onnx(tmp_path / "m.onnx"))
    run = CliRunner().invoke
    shown = run(main, ["spec", path])
    assert shown.exit_code == 0
    assert ["size", "32x32"] in [line.split() for line in shown.stdout.splitlines()]
    changed = run(main, ["spec", path, "--set", "licence=mine", "--json"])
    assert json.loads(changed.stdout)["licence"] == "mine"
    assert read(tmp_path / "m.onnx").licence == "mine"
    refused = run(main, ["spec", str(tmp_path / "none.onnx")])
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
