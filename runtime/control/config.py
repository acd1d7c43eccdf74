"""A TOML file with the options of `edgeseg blur`, read again while it runs.

    background = "beach.jpg"
    strength = 0.7
    output = ["vcam", "window"]

The path of a background is looked for beside the file first.
"""

from __future__ import annotations

import difflib
import os
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import fields
from pathlib import Path
from typing import Any

from edgeseg.errors import UsageError
from edgeseg.runtime.control.controls import Controls, Settings

LOOK_EVERY_S = 1.0
LIVE = {field.name: type(field.default) for field in fields(Settings)}  # may be changed while it runs


def default_path() -> Path:
    """~/.config/edgeseg/blur.toml; $XDG_CONFIG_HOME is heeded."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "edgeseg" / "blur.toml"


def read_config(path: Path, known: Collection[str]) -> dict[str, Any]:
    """The options in the file, by name with underscores; UsageError where it is no TOML or names none of `known`."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"configuration {path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are both
        raise UsageError(f"configuration {path} is no TOML: {' '.join(str(error).split())}") from None
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"
            raise UsageError(f"configuration {path}: there is no option {key!r}; {hint}")
        if isinstance(value, dict):
            raise UsageError(f"configuration {path}: {key!r} is a table; write {key} = value")
        found[name] = _checked(path, name, value)
    return found


def _checked(path: Path, name: str, value: Any) -> Any:
    """Values of what may change while it runs have their types here: nobody else looks at them then."""
    kind = LIVE.get(name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is not None and type(value) is not kind:
        raise UsageError(f"configuration {path}: {name} = {value!r} should be {kind.__name__}")
    if name == "strength" and not 0 <= value <= 1:
        raise UsageError(f"configuration {path}: strength must be within 0..1, got {value:g}")
    if name == "background" and (beside := path.parent / value).is_file():
        return str(beside)
    return value


class ConfigFile:
    """Follows the file at `path` and hands its changes to `controls`. A broken one is said once, and changes nothing.

    values  as `read_config` gave them at the start
    """

    def __init__(
        self,
        path: Path,
        known: Collection[str],
        values: dict[str, Any],
        controls: Controls,
        say: Callable[[str], None] = lambda _: None,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._path = path
        self._known = known
        self._values = values
        self._controls = controls
        self._say = say
        self._look_every_s = look_every_s
        self._looked_s = time.monotonic()
        self._stamp = stamp(path)

    def poll(self) -> None:
        """To be called between frames: looks at the file now and then, and does nothing as long as it stays the same."""
        now_s = time.monotonic()
        if now_s - self._looked_s < self._look_every_s:
            return
        self._looked_s = now_s
        seen = stamp(self._path)
        if seen is None or seen == self._stamp:  # editors replace a file: for a moment there is none
            return
        self._stamp = seen
        try:
            values = read_config(self._path, self._known)
        except UsageError as error:
            self._say(f"{error}; the last good settings stay")
            return
        changed = {name: values.get(name) for name in {*values, *self._values} if values.get(name) != self._values.get(name)}
        self._values = values
        later = sorted(name for name in changed if name not in LIVE)
        if later:
            self._say(f"configuration: {', '.join(later)} will be heeded at the next start")
        plain = Settings()
        now = {name: getattr(plain, name) if changed[name] is None else changed[name] for name in changed if name in LIVE}
        if now:
            self._controls.change(**now)


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Something that differs when the file does; None where there is none."""
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size, told.st_ino
