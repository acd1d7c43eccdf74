"""`edgeseg report` on reports as files."""

import json

import pytest
from click.testing import CliRunner

from edgeseg.cli import main
from tests.report.pages import report


@pytest.fixture
def folder(tmp_path):
    for name, value in {"old": report(), "same": report(seed=1), "slow": report(1.2, seed=2)}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    (tmp_path / "pi.json").write_text(json.dumps(report(device={"board": "Raspberry Pi 5"})))
    lost = report(seed=1)
    lost["results"][0] = {"path": lost["results"][0]["path"], "error": "the file is truncated"}
    (tmp_path / "lost.json").write_text(json.dumps(lost))
    (tmp_path / "strange.json").write_text(json.dumps(report() | {"schema": 99}))
    return tmp_path


def call(line, folder):
    return CliRunner().invoke(main, ["report", *line.format(f=folder).split()])


CASES = [
    ("{f}/old.json {f}/slow.json", 0, "SLOWER"),
    ("{f}/old.json {f}/slow.json --fail-on-regression 5%", 1, "slower by more than 5 %: person-256x256-int8.tflite (+"),
    ("--fail-on-regression {f}/old.json {f}/slow.json", 2, "not a percentage"),
    ("{f}/old.json {f}/slow.json --fail-on-regression", 1, "slower by more than 5 %"),
    ("{f}/old.json {f}/slow.json --fail-on-regression 30", 0, "no difference"),
    ("{f}/old.json {f}/same.json --fail-on-regression 5%", 0, "no difference"),
    ("{f}/slow.json {f}/old.json --fail-on-regression 5%", 0, "faster"),
    ("{f}/old.json {f}/strange.json {f}/nothing.json", 0, "schema 99"),
    ("{f}/old.json {f}/nothing.json", 0, "cannot be read"),
    ("{f}/old.json {f}/same.json {f}/nothing.json --fail-on-regression 5%", 1, "edgeseg: not compared: "),
    ("{f}/old.json {f}/strange.json --fail-on-regression 5%", 1, "schema 99"),
    ("{f}/old.json --fail-on-regression 5%", 1, "nothing was compared"),
    ("{f}/old.json {f}/pi.json --fail-on-regression 5%", 1, "nothing was compared"),
    ("{f}/old.json {f}/lost.json --fail-on-regression 5%", 1, "no longer measured: person-256x256-int8.tflite ("),
    ("{f}/old.json {f}/lost.json", 0, "truncated"),
    ("{f}/nothing.json", 1, "cannot be read"),
    ("", 2, "Missing argument"),
    ("{f}/old.json --fail-on-regression many", 2, "not a percentage"),
]


@pytest.mark.parametrize(("line", "status", "needle"), CASES)
def test_exit_status_and_words(folder, line, status, needle):
    done = call(line, folder)
    assert (done.exit_code, needle in done.output) == (status, True), done.output


def test_files_that_are_asked_for(folder):
    done = call(
        "{f}/old.json {f}/slow.json {f}/strange.json --json --html {f}/p.html --csv {f}/t.csv --markdown {f}/t.md", folder
    )
    data = json.loads(done.stdout)
    assert [change["verdict"] for change in data["changes"]] == ["SLOWER", "SLOWER"]
    assert data["failures"][0]["path"].endswith("strange.json")
    page = (folder / "p.html").read_text()
    assert "SLOWER" in page
    assert "schema 99" in page
    lines = (folder / "t.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 3 + 1
    assert "strange.json" in lines[-1]
    assert "schema 99" in lines[-1]
    assert "SLOWER" in (folder / "t.md").read_text()
