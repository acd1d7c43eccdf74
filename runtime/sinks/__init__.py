"""Where frames go: video files, pictures, a window, a browser, a virtual camera. `open_sink` finds the right one for a name."""

from edgeseg.runtime.sinks.sink import Null, Sink, open_sink
from edgeseg.runtime.sinks.video_file import VideoSink

__all__ = ["Null", "Sink", "VideoSink", "open_sink"]
