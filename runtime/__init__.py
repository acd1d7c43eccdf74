"""Run exported models on pictures, videos and cameras. Needs numpy, OpenCV and one inference backend; never torch.

from edgeseg.runtime import Blur, open_session

matte = open_session("person").matte(frame)     # (h', w') float32 in 0..1

with Blur(background="blur") as blur:
    out = blur(frame)                           # (h, w, 3) uint8 BGR
"""

from edgeseg.runtime.arrays import Alpha, Frame, Matte, Shot
from edgeseg.runtime.blur import Blur
from edgeseg.runtime.capture.camera import SyntheticCamera, Webcam
from edgeseg.runtime.capture.cameras import open_camera
from edgeseg.runtime.capture.clock_camera import ClockCamera
from edgeseg.runtime.capture.live import Camera, LiveSource
from edgeseg.runtime.capture.source import Pictures, Source, open_source
from edgeseg.runtime.capture.stream import Stream
from edgeseg.runtime.capture.video_file import VideoFile
from edgeseg.runtime.composite.backgrounds import Background, open_background
from edgeseg.runtime.composite.blend import blend
from edgeseg.runtime.composite.masked_blur import masked_blur
from edgeseg.runtime.null_session import NullSession
from edgeseg.runtime.picture import read_picture
from edgeseg.runtime.pipeline import RunReport, limit_threads, run
from edgeseg.runtime.refinement.refiner import Refinement, refine
from edgeseg.runtime.refinement.smoothing import Smoother
from edgeseg.runtime.session import Session, open_session
from edgeseg.runtime.sinks.sink import Null, Sink, open_sink
from edgeseg.runtime.sinks.transparent import open_transparent
from edgeseg.runtime.sinks.video_file import VideoSink
from edgeseg.runtime.stages import StageTimes
from edgeseg.runtime.work import Segmenter, Stage, Work

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
    "Refinement",
    "RunReport",
    "Segmenter",
    "Session",
    "Shot",
    "Sink",
    "Smoother",
    "Source",
    "Stage",
    "StageTimes",
    "Stream",
    "SyntheticCamera",
    "VideoFile",
    "VideoSink",
    "Webcam",
    "Work",
    "blend",
    "limit_threads",
    "masked_blur",
    "open_background",
    "open_camera",
    "open_session",
    "open_sink",
    "open_source",
    "open_transparent",
    "read_picture",
    "refine",
    "run",
]
