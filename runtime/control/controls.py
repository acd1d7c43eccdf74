"""What may be changed while it runs, by keys in the window or by the configuration file."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgeseg.errors import EdgesegError

View = Literal["result", "side by side", "mask"]
STEP = 0.1  # of the strength, a key's stroke
KEYS = {
    "b": "blur",
    "n": "next background",
    "+": "stronger",
    "-": "weaker",
    "r": "mirror",
    "s": "side by side",
    "m": "mask",
    "i": "figures",
    "q": "quit",
}


@dataclass(frozen=True)
class Settings:
    """As the options of the same names."""

    background: str = "blur"
    strength: float = 0.5
    mirror: bool = False


class Controls:
    """The settings as they are now, and what the window shows.

    apply        for each setting, what puts a change into effect: called with all settings, once for a function; where it
                 raises an EdgesegError, there is no change
    backgrounds  that "n" goes through
    say          is told in one line what cannot be done
    """

    def __init__(
        self,
        settings: Settings,
        apply: Mapping[str, Callable[[Settings], None]],
        backgrounds: Sequence[str] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.view: View = "result"
        self.figures = False
        self._apply = dict(apply)
        self._backgrounds = list(dict.fromkeys(("blur", settings.background, *backgrounds)))
        self._say = say
        self._lock = threading.Lock()  # keys and the file come from different threads

    def change(self, **changes: Any) -> bool:
        """Set some settings; False, with nothing changed, where one cannot be."""
        with self._lock:
            before = self.settings
            after = dataclasses.replace(before, **changes)
            changed = [name for name in changes if getattr(before, name) != getattr(after, name)]
            try:
                for function in dict.fromkeys(self._apply[name] for name in changed if name in self._apply):
                    function(after)
            except EdgesegError as error:
                self._say(str(error))
                return False
            self.settings = after
            return True

    def press(self, key: str) -> bool:
        """Do what `key` stands for; False where it ends the run. Other keys do nothing."""
        strength = self.settings.strength
        if key in ("q", "\x1b"):
            return False
        if key == "b":
            self.change(background="blur")
        elif key == "n":
            self._next_background()
        elif key in ("+", "="):  # they share a key
            self.change(strength=min(1.0, round(strength + STEP, 2)))
        elif key in ("-", "_"):
            self.change(strength=max(0.0, round(strength - STEP, 2)))
        elif key == "r":
            self.change(mirror=not self.settings.mirror)
        elif key in ("s", "m"):
            view: View = "side by side" if key == "s" else "mask"
            self.view = "result" if self.view == view else view
        elif key == "i":
            self.figures = not self.figures
        return True

    def _next_background(self) -> None:
        """The next that can be opened."""
        now = self.settings.background
        at = self._backgrounds.index(now) if now in self._backgrounds else -1
        for step in range(1, len(self._backgrounds) + 1):
            if self.change(background=self._backgrounds[(at + step) % len(self._backgrounds)]):
                return
