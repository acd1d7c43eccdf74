"""Run exported models on pictures, videos and cameras. Needs numpy, OpenCV and one inference backend; never torch.

from edgeseg.runtime import Blur, open_session

matte = open_session("person").matte(frame)     # (h', w') float32 in 0..1

with Blur(background="blur") as blur:
    out = blur(frame)                           # (h, w, 3) uint8 BGR
"""

from edgeseg.runtime.arrays import Alpha, Frame, Matte, Shot
from edgeseg.runtime.backgrounds import Background, open_background
from edgeseg.runtime.camera import SyntheticCamera, Webcam
from edgeseg.runtime.cameras import open_camera
from edgeseg.runtime.capture import Pictures, Source, open_source
from edgeseg.runtime.clock_camera import ClockCamera
from edgeseg.runtime.composite import blend, masked_blur
from edgeseg.runtime.live import Camera, LiveSource
from edgeseg.runtime.null_session import NullSession
from edgeseg.runtime.picture import read_picture
from edgeseg.runtime.pipeline import Blur, RunReport, limit_threads, run
from edgeseg.runtime.refine import Smoother, refine
from edgeseg.runtime.session import Session, open_session
from edgeseg.runtime.sinks import Null, Sink, open_sink
from edgeseg.runtime.stream import Stream
from edgeseg.runtime.video import VideoFile
from edgeseg.runtime.video_sink import VideoSink

__all__ = [
    "Alpha",
    "Background",
    "Blur",
    "Camera",
    "ClockCamera",
    "Frame",
    "LiveSource",
    "Matte",
    "Null",
    "NullSession",
    "Pictures",
    "RunReport",
    "Session",
    "Shot",
    "Sink",
    "Smoother",
    "Source",
    "Stream",
    "SyntheticCamera",
    "VideoFile",
    "VideoSink",
    "Webcam",
    "blend",
    "limit_threads",
    "masked_blur",
    "open_background",
    "open_camera",
    "open_session",
    "open_sink",
    "open_source",
    "read_picture",
    "refine",
    "run",
]
