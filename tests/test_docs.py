"""What the documents say is what the program does."""

import importlib.util
import re
from pathlib import Path

import pytest

from edgeseg import __version__
from edgeseg.cli import main

ROOT = Path(__file__).parent.parent


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_commands_are_documented_word_for_word():
    written = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == load_script("make_docs").render(), "run: python scripts/make_docs.py"


@pytest.mark.parametrize("columns", ["40", "200"])
def test_the_document_does_not_depend_on_the_terminal(monkeypatch, columns):
    expected = load_script("make_docs").render()
    monkeypatch.setenv("COLUMNS", columns)
    assert load_script("make_docs").render() == expected


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"^## \[?v?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[:1] == [__version__]


def commands_in(text):
    """Names that follow `edgeseg ` in code: fenced lines and inline `edgeseg name ...`."""
    fenced = "\n".join(re.findall(r"^```(?:sh|bash|console|text)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^\s*(?:\$ )?edgeseg ([a-z][a-z-]*)", fenced, re.MULTILINE)
    return {*lines, *re.findall(r"`edgeseg ([a-z][a-z-]*)[^`]*`", text)}


def test_commands_are_found_in_text():
    text = "Run `edgeseg bench FILE` or `edgeseg`:\n```sh\n$ edgeseg blur --webcam\nedgeseg models\npip install edgeseg\n```\n"
    assert commands_in(text) == {"bench", "blur", "models"}


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "benchmarks/README.md"])
def test_documents_name_commands_that_exist(name):
    assert commands_in((ROOT / name).read_text(encoding="utf-8")) <= main.commands.keys()


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "benchmarks/README.md"])
def test_links_inside_the_project_lead_somewhere(name):
    path = ROOT / name
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []
