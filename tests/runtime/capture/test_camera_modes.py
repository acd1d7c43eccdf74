"""The mode that is chosen of those a camera has."""

from __future__ import annotations

import pytest

from edgeseg.runtime.capture.camera_modes import rank
from edgeseg.runtime.capture.v4l2 import Mode

# What a common USB 2 webcam says of itself: uncompressed pictures are slow from 720p on.
USB2 = [
    Mode("YUYV", (480, 640), 30),
    Mode("YUYV", (720, 1280), 10),
    Mode("YUYV", (1080, 1920), 5),
    Mode("MJPG", (480, 640), 30),
    Mode("MJPG", (720, 1280), 30),
    Mode("MJPG", (1080, 1920), 30),
]
YUYV_ONLY = [mode for mode in USB2 if mode.fourcc == "YUYV"]
USB3 = [Mode("YUYV", (720, 1280), 60), Mode("MJPG", (720, 1280), 60), Mode("NV12", (720, 1280), 60)]
LOOPBACK = [Mode("YU12", (600, 800), None)]
ODD = [Mode("H264", (720, 1280), 30), Mode("MJPG", (1536, 2048), 30), Mode("MJPG", (600, 800), 30)]


@pytest.mark.parametrize(
    ("modes", "size_hw", "fps", "chosen"),
    [
        (USB2, None, 30, ("MJPG", (720, 1280))),  # YUYV is slow at that size
        (USB2, (480, 640), 30, ("YUYV", (480, 640))),  # fast enough, and cheaper to convert
        (USB2, (720, 1280), 10, ("YUYV", (720, 1280))),
        (USB2, (1080, 1920), 30, ("MJPG", (1080, 1920))),
        (YUYV_ONLY, None, 30, ("YUYV", (480, 640))),  # nobody asked for 720p: a smaller picture that moves
        (YUYV_ONLY, None, 10, ("YUYV", (720, 1280))),
        (YUYV_ONLY, (1080, 1920), 30, ("YUYV", (1080, 1920))),  # somebody asked for it
        (USB3, None, 30, ("NV12", (720, 1280))),
        (USB3, None, 60, ("NV12", (720, 1280))),
        (LOOPBACK, None, 30, ("YU12", (600, 800))),  # who does not say how fast is believed
        (ODD, None, 30, ("MJPG", (600, 800))),  # what cannot be read is passed over; the nearest in size
        (USB2, (540, 960), 30, ("MJPG", (720, 1280))),  # of the same shape, though 480x640 is nearer
        (USB2, (400, 500), 30, ("YUYV", (480, 640))),
    ],
)
def test_the_mode_that_is_chosen(
    modes: list[Mode], size_hw: tuple[int, int] | None, fps: float, chosen: tuple[str, tuple[int, int]]
) -> None:
    best = rank(modes, size_hw, fps)[0]
    assert (best.fourcc, best.size_hw) == chosen


def test_the_next_best_is_there_when_the_bus_has_no_room() -> None:
    assert [mode.fourcc for mode in rank(USB2, (480, 640), 30)][:2] == ["YUYV", "MJPG"]


def test_no_mode_that_can_be_read_is_none() -> None:
    assert rank([Mode("H264", (720, 1280), 30)], None, 30) == []
