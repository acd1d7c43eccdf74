"""`edgeseg data` from outside."""

import json

import pytest
from click.testing import CliRunner

from edgeseg.cli import main
from edgeseg.commands.data import data
from tests.train.readers.published import document, picture, plane


@pytest.fixture
def drawn(tmp_path):
    """A LabelMe set of a person and a dog, and an annotation whose picture is missing."""
    picture(tmp_path / "drawn" / "a.png", 3, 4)
    shapes = [
        {"label": "person", "points": [[0, 0], [2, 0], [2, 1], [0, 1]]},
        {"label": "dog", "points": [[2, 0], [3, 0], [3, 1], [2, 1]]},
    ]
    for stem in ("a", "lost"):
        record = {"shapes": shapes, "imagePath": f"{stem}.png", "imageHeight": 3, "imageWidth": 4}
        document(tmp_path / "drawn" / f"{stem}.json", record)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


def test_import_show_check(drawn):
    out = drawn / "out"
    result = call("import", "labelme", drawn / "drawn", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [f"{out}: 1 pairs written, 0 were there already", "  1 skipped: missing pictures"]
    assert "skipped (missing pictures): the picture of " in result.stderr
    result = call("show", out, "-o", drawn / "sheet.png", "--count", 1)
    assert result.exit_code == 0, result.output
    shares = {line.split()[1]: line.split()[2] for line in result.stdout.splitlines()[-3:]}
    assert shares == {"background": "75.000%", "dog": "8.333%", "person": "16.667%"}  # 9, 1 and 2 of 12 pixels
    assert "1 labelme" in result.stdout
    assert (drawn / "sheet.png").stat().st_size > 1000
    result = call("check", out)
    assert (result.exit_code, result.stdout) == (0, "1 pictures, nothing wrong\n")
    plane(out / "labels" / "a.png", [[0]])
    result = call("check", out)
    assert result.exit_code == 1
    assert "1 sizes that differ:\n" in result.stdout
    assert result.stderr.splitlines()[-1].startswith(f"edgeseg: {out}: 1 sizes that differ, ")


def test_json_alone_on_stdout(drawn):
    out = drawn / "out"
    result = json.loads(call("import", "labelme", drawn / "drawn", out, "--person", "--json").stdout)
    assert (result["written"], result["already_there"]) == (1, 0)
    assert list(result["skipped"]) == ["missing pictures"]
    result = json.loads(call("show", out, "--json").stdout)
    assert [(row["name"], row["pixels"]) for row in result["classes"]] == [("background", 10), ("person", 2)]
    assert (result["pictures"], result["truth"], result["problems"]) == (1, "masks", {})
    assert json.loads(call("check", out, "--json").stdout) == {"pictures": 1, "ok": True, "problems": {}}


REFUSED = [
    ("import nonsense {tmp} {tmp}/out", 2, "is not one of"),
    ("import voc", 2, "Missing argument"),
    ("import voc {tmp}/none {tmp}/out", 1, "does not exist"),
    ("import voc {tmp} {tmp}/out", 1, "is not Pascal VOC"),
    ("import labelme {tmp}/drawn {tmp}/out --classes cat", 1, "no class cat"),
    ("import labelme {tmp}/drawn {tmp}/drawn/a.png/out", 1, "cannot be written"),
    ("import labelme {tmp}/drawn {tmp}/out --longest 1", 2, "x>=8"),
    ("show {tmp}", 1, "is no data folder"),
    ("show {tmp} --count 0", 2, "x<=600"),
    ("check {tmp}", 1, "is no data folder"),
]


@pytest.mark.parametrize(("arguments", "status", "needle"), REFUSED, ids=[c[0] for c in REFUSED])
def test_refusals(drawn, arguments, status, needle):
    result = call(*(a.format(tmp=drawn) for a in arguments.split()))
    assert (result.exit_code, needle in result.stderr) == (status, True), result.output
    if status == 1:
        assert result.stderr.splitlines()[-1].startswith("edgeseg: ")


def test_nothing_to_import_is_an_error(drawn):
    (drawn / "drawn" / "a.png").unlink()
    result = call("import", "labelme", drawn / "drawn", drawn / "out")
    assert result.exit_code == 1
    assert "nothing could be imported" in result.stderr


@pytest.mark.parametrize("name", sorted(data.commands))
def test_help(name):
    result = call(name, "--help")
    assert result.exit_code == 0
    mute = {p.name for p in data.commands[name].params if p.param_type_name == "option" and not p.help}
    assert mute == set()
