"""The error tree. Every message says what was wrong, what was got, and what to do; the CLI prints it as one line.

    EdgesegError
    ├── UsageError          an option or argument that cannot be right
    ├── ShapeError          a size that a network cannot take
    ├── ModelError          an unknown, missing, truncated or foreign model file or checkpoint
    │   └── SpecError       a model file without a Spec, or with one that cannot be read
    ├── DataError           pictures, videos, masks or folders that cannot be used
    │   └── CaptureError    a camera or stream that cannot be opened or has ended for good
    │       └── CameraBusyError  another program has the camera
    ├── OutputError         a result that cannot be written
    ├── ExportError         an export that cannot be lowered, or that does not agree with its source
    ├── ShortfallError      a result that was written, but misses what was asked of it
    ├── ProcessError        another process of a training that ended
    └── MissingExtraError   an optional package that is not installed

Anything else that reaches the user is a bug of ours and keeps its traceback.
"""


class EdgesegError(Exception):
    """Base of every error that a user can cause and mend."""


class UsageError(EdgesegError):
    """An option or argument that cannot be right."""


class ShapeError(EdgesegError):
    """A size that a network cannot take; the message computes the nearest one that it can."""


class ModelError(EdgesegError):
    """An unknown, missing, truncated or foreign model."""


class SpecError(ModelError):
    """A model file without a Spec, or with one that cannot be read."""


class DataError(EdgesegError):
    """Pictures, videos, masks or folders that cannot be used."""


class CaptureError(DataError):
    """A camera or stream that cannot be opened or has ended for good."""


class CameraBusyError(CaptureError):
    """Another program has the camera."""


class OutputError(EdgesegError):
    """A result that cannot be written. What was there before is left as it was."""


class ExportError(EdgesegError):
    """An export that cannot be lowered, or that does not agree with its source."""


class ShortfallError(EdgesegError):
    """A result that was written, but misses what was asked of it."""


class ProcessError(EdgesegError):
    """Another process of a training that ended, and this one with it."""


class MissingExtraError(EdgesegError):
    """An optional package that is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed; run: pip install 'edgeseg[{extra}]'")
