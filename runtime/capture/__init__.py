"""Where frames come from: webcams, camera modules, network streams, video files, folders, and a camera without hardware.

`open_source` finds the right one for a name.
"""

from edgeseg.runtime.capture.cameras import open_camera
from edgeseg.runtime.capture.live import LiveSource
from edgeseg.runtime.capture.source import Source, open_source

__all__ = ["LiveSource", "Source", "open_camera", "open_source"]
