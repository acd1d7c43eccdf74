"""The configuration file: what it may hold, what a broken one does, and what a change does while it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeseg.errors import UsageError
from edgeseg.runtime.control.config import ConfigFile, default_path, read_config
from edgeseg.runtime.control.controls import Controls, Settings
from tests.runtime.control.test_controls import PLAIN, controls_of

KNOWN = {"background", "strength", "mirror", "size", "output", "model", "threads"}


def written(folder: Path, text: str) -> Path:
    """The file with `text`, which differs from what was there before also in its time."""
    path = folder / "blur.toml"
    before = path.stat().st_mtime_ns if path.is_file() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))
    return path


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ('background = "#00ff00"\nstrength = 1\nmirror = true', {"background": "#00ff00", "strength": 1.0, "mirror": True}),
        ('output = ["vcam", "window"]\nsize = "720x1280"\n# a remark', {"output": ["vcam", "window"], "size": "720x1280"}),
    ],
)
def test_what_a_file_says(tmp_path: Path, text: str, values: dict[str, object]) -> None:
    assert read_config(written(tmp_path, text), KNOWN) == values


def test_a_background_beside_the_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "beach.jpg").touch()
    assert read_config(written(tmp_path, 'background = "beach.jpg"'), KNOWN) == {"background": str(tmp_path / "beach.jpg")}
    assert read_config(written(tmp_path, 'background = "none.jpg"'), KNOWN) == {"background": "none.jpg"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("strength = ", "is no TOML"),
        ("\x00", "is no TOML"),
        ("strenght = 0.5", "did you mean 'strength'"),
        ("colour = 1", "there are: background, mirror"),
        ("strength = 2.0", r"within 0\.\.1"),
        ('strength = "much"', "should be float"),
        ("strength = true", "should be float"),
        ("mirror = 1", "should be bool"),
        ("background = 5", "should be str"),
        ("[blur]\nstrength = 0.5", "there is no option 'blur'"),
        ("[size]\nheight = 5", "'size' is a table"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_files_name(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        read_config(written(tmp_path, text), KNOWN)
    assert "blur.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_config(tmp_path / "none.toml", KNOWN)
    (tmp_path / "blur.toml").write_bytes(b'background = "\xff\xfe"')
    with pytest.raises(UsageError, match="is no TOML"):
        read_config(tmp_path / "blur.toml", KNOWN)


def test_where_it_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_path() == tmp_path / "edgeseg" / "blur.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    assert default_path() == Path("/home/ann/.config/edgeseg/blur.toml")


def following(path: Path, said: list[str], settings: Settings = PLAIN) -> tuple[ConfigFile, Controls, list[Settings]]:
    controls, done = controls_of(settings, said=said)
    return ConfigFile(path, KNOWN, read_config(path, KNOWN), controls, said.append, look_every_s=0), controls, done


def test_changes_are_put_into_effect_and_only_they(tmp_path: Path) -> None:
    said: list[str] = []
    path = written(tmp_path, "strength = 0.2")
    file, controls, done = following(path, said, Settings(strength=0.2))
    file.poll()
    assert done == []
    written(tmp_path, 'strength = 0.2\nbackground = "#0000ff"')
    file.poll()
    assert controls.settings == Settings("#0000ff", 0.2)
    controls.press("+")  # a key in the window is not undone by a file that says nothing new of it
    written(tmp_path, 'strength = 0.2\nbackground = "#0000ff"\nmirror = true')
    file.poll()
    assert controls.settings == Settings("#0000ff", 0.3, True)
    written(tmp_path, "mirror = true")
    file.poll()
    assert controls.settings == Settings(mirror=True)  # what is taken out is as if it had never been there
    assert said == []


def test_a_broken_file_is_said_once_and_the_last_good_settings_stay(tmp_path: Path) -> None:
    said: list[str] = []
    file, controls, _ = following(written(tmp_path, 'background = "#0000ff"'), said, Settings("#0000ff"))
    written(tmp_path, "background = ")
    for _ in range(5):
        file.poll()
    assert len(said) == 1
    assert "the last good settings stay" in said[0]
    assert controls.settings == Settings("#0000ff")
    written(tmp_path, 'background = "#ff0000"')
    file.poll()
    assert controls.settings == Settings("#ff0000")
    written(tmp_path, 'background = "broken.jpg"')  # which cannot be opened
    file.poll()
    assert controls.settings == Settings("#ff0000")
    assert said[1:] == ["broken.jpg is no picture"]


def test_a_file_that_is_gone_for_a_moment_changes_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    path = written(tmp_path, "strength = 0.9")
    file, controls, _ = following(path, said, Settings(strength=0.9))
    path.unlink()
    file.poll()
    assert controls.settings == Settings(strength=0.9)
    written(tmp_path, "strength = 0.15")
    file.poll()
    assert controls.settings == Settings(strength=0.15)
    assert said == []


def test_what_needs_a_new_start_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    file, controls, _ = following(written(tmp_path, 'model = "person"'), said)
    written(tmp_path, 'model = "enet-person"\nsize = "480x640"\nstrength = 0.7')
    file.poll()
    assert said == ["configuration: model, size will be heeded at the next start"]
    assert controls.settings == Settings(strength=0.7)


def test_it_looks_no_more_often_than_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    path = written(tmp_path, "")
    file = ConfigFile(path, KNOWN, {}, controls_of()[0], look_every_s=60)
    monkeypatch.setattr("edgeseg.runtime.control.config.stamp", lambda _: looks.append(1))
    for _ in range(100):
        file.poll()
    assert looks == []
