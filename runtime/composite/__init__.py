"""The person before another background: the room blurred, a colour, a picture, a video; no halo, no fringe."""

from edgeseg.runtime.composite.backgrounds import Background, open_background

__all__ = ["Background", "open_background"]
