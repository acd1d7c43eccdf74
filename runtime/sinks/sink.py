"""Where frames go. Every sink is a context manager with `write(shot)`."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol

from edgeseg.errors import UsageError
from edgeseg.runtime.arrays import Shot
from edgeseg.runtime.capture.source import Source
from edgeseg.runtime.picture import write_picture
from edgeseg.runtime.sinks.views import Views
from edgeseg.whole import make_folder

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
VIDEO_SUFFIXES = {".mp4", ".mkv", ".mov", ".m4v"}


class Sink(Protocol):
    """Opens in `__enter__`; frames are used before `write` returns and not kept. OutputError where it cannot be written."""

    def __enter__(self) -> Sink: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
    def write(self, shot: Shot) -> bool:
        """False when nobody wants more: the window was closed."""


def open_sink(output: str | Path | None, source: Source, views: Views | None = None) -> Sink:
    """The sink that `output` asks for, for the frames of an opened `source`.

    None        a window, or "window"
    "null"      nothing: what it costs is measured
    "http://127.0.0.1:8080"  a web page; see `http_sink`
    "vcam"      a virtual camera; "vcam:/dev/video9" that one
    a folder    for a folder of pictures: pictures of the same names; for a file: a file of the same name in it
    FILE.png    (or .jpg, .webp, ...) a picture, for a picture
    FILE.mp4    (or .mkv, .mov) a video

    views  what a window shows, and what its keys do

    The name decides, since nothing else says what is wanted. Raises UsageError where the two do not go together.
    """
    from edgeseg.runtime.sinks.http_server import HttpSink
    from edgeseg.runtime.sinks.video_file import VideoSink
    from edgeseg.runtime.sinks.virtual_camera import VirtualCamera
    from edgeseg.runtime.sinks.window import open_window

    if output is None or output == "window":
        return open_window(views)
    text, path = str(output), Path(output)
    if text == "null":
        return Null()
    if "://" in text:
        return HttpSink(text, dict if views is None else views.figures)
    if text == "vcam" or text.startswith("vcam:"):
        return VirtualCamera(source.size_hw, source.fps or 30.0, text.partition(":")[2] or None)
    many = source.still and source.path is not None and source.path.is_dir()
    if many:
        if path.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES:
            raise UsageError(f"the input is a folder of pictures, so the output must be a folder too, not {path}")
        return PictureFolder(path)
    if path.is_dir() and source.path is not None:
        suffix = source.path.suffix.lower()
        if suffix not in (PICTURE_SUFFIXES if source.still else VIDEO_SUFFIXES):
            suffix = ".png" if source.still else ".mp4"
        path = path / (source.path.stem + suffix)
    if source.path is not None and path.exists() and path.samefile(source.path):
        raise UsageError(f"output {path} is the input itself; choose another name")
    if path.suffix.lower() in VIDEO_SUFFIXES:
        live = source.frames is None
        return VideoSink(path, source.size_hw, source.fps or 1.0, None if source.still else source.path, live)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        if not source.still:
            raise UsageError(f"the input is a video, so the output {path} must be one too: .mp4, .mkv or .mov")
        return PictureFile(path)
    raise UsageError(f"output {path} has the suffix of no picture and no video; use .png or .mp4, or a folder that exists")


class Null:
    """Nowhere. Counts the frames."""

    frames = 0

    def __enter__(self) -> Null:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def write(self, shot: Shot) -> bool:
        self.frames += 1
        return True


class PictureFile:
    """One picture file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> PictureFile:
        make_folder(self._path.parent)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def write(self, shot: Shot) -> bool:
        write_picture(self._path, shot.frame)
        return True


class PictureFolder:
    """One picture `<name>.png` in a folder for every shot."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> PictureFolder:
        make_folder(self._folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def write(self, shot: Shot) -> bool:
        write_picture(self._folder / f"{shot.name}.png", shot.frame)
        return True
