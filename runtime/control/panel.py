"""What stands around a live run: outputs, keys, the file of settings, release of the camera while nobody watches, figures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from edgeseg.runtime.capture.live import LiveSource
from edgeseg.runtime.capture.source import Source, is_picture, list_pictures
from edgeseg.runtime.capture.stream import Stream
from edgeseg.runtime.composite.backgrounds import Background, open_background
from edgeseg.runtime.composite.masked_blur import Kind
from edgeseg.runtime.control.config import ConfigFile
from edgeseg.runtime.control.controls import Controls, Settings
from edgeseg.runtime.control.thermal import Thermal
from edgeseg.runtime.sinks.outputs import Outputs
from edgeseg.runtime.sinks.sink import open_sink
from edgeseg.runtime.sinks.views import Views


class Changeable(Protocol):
    """A `Blur`, as far as it is changed while it runs: the assignment takes effect with the next frame."""

    background: Background
    kind: Kind


class Panel:
    """Puts the outputs of an opened `source` together and changes `blur` as keys and file ask.

        with Panel(blur, source, Settings()) as panel, panel.outputs(["window", "vcam"]) as sink:
            run(source, blur, sink, lambda *_: panel.tick())

    settings     that `blur` was made with
    backgrounds  that the key "n" goes through, beside the blur and the first
    config       (path, names it may hold, values at the start) of a configuration file to follow
    say          is told in one line what happens
    """

    def __init__(
        self,
        blur: Changeable,
        source: Source,
        settings: Settings,
        backgrounds: Sequence[str] = (),
        config: tuple[Path, Collection[str], dict[str, Any]] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._blur = blur
        self._source = source
        self._say = say
        self._retired: list[Background] = []
        self.thermal = Thermal()
        apply = {"background": self._set_background, "strength": self._set_background, "mirror": self._set_mirror}
        self.controls = Controls(settings, apply, backgrounds or beside(settings.background), say)
        self.views = Views(self.controls, self.figures)
        watch = getattr(blur, "after_composite", None)
        if watch is not None:
            watch(self.views.remember)
        self._config = None if config is None else ConfigFile(*config, self.controls, say)

    def __enter__(self) -> Panel:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for background in self._retired:
            background.close()

    def outputs(self, names: Sequence[str]) -> Outputs:
        """A sink, not yet entered, for what follows --output, each as `open_sink` knows it; a window if there is none."""
        sinks = [open_sink(name, self._source, self.views) for name in names or ["window"]]
        outputs = Outputs(sinks, self._say)
        live = live_of(self._source)
        if live is not None:
            live.wanted = outputs.watched
        return outputs

    def tick(self) -> None:
        """To be called after each frame."""
        self.thermal.share()
        if self._config is not None:
            self._config.poll()

    def figures(self) -> dict[str, Any]:
        """How it is doing, for a window and a page."""
        told: dict[str, Any] = {"dropped": self._source.dropped}
        heat = self.thermal.heat
        if heat is not None:
            told["temperature_c"] = round(heat.temperature_c, 1)
            if heat.troubles:
                told["board"] = ", ".join(heat.troubles)
        return told

    def _set_background(self, settings: Settings) -> None:
        new = open_background(settings.background, settings.strength, self._blur.kind)
        old, self._blur.background = self._blur.background, new
        self._retired.append(old)  # another thread may be drawing it at this moment
        while len(self._retired) > 1:
            self._retired.pop(0).close()

    def _set_mirror(self, settings: Settings) -> None:
        live = live_of(self._source)
        if live is not None:
            live.mirror = settings.mirror


def live_of(source: Source) -> LiveSource | None:
    """The live source in `source`, which can be mirrored and released; None where it is none."""
    if isinstance(source, LiveSource):
        return source
    return source.live if isinstance(source, Stream) else None


def beside(background: str) -> list[str]:
    """The pictures in the folder of a background that is a picture."""
    path = Path(background)
    if not path.is_file() or not is_picture(path):
        return []
    return [str(picture) for picture in list_pictures(path.parent)]
