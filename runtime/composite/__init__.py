"""The person before another background: the room blurred, a colour, a picture, a video; no halo, no fringe."""

from edgeseg.runtime.composite.backgrounds import Background, open_background
from edgeseg.runtime.composite.blend import blend
from edgeseg.runtime.composite.masked_blur import masked_blur

__all__ = ["Background", "blend", "masked_blur", "open_background"]
