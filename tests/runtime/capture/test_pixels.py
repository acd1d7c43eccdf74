"""A camera's bytes to BGR: colour bars in every format, by the values that BT.601 gives them, and frames that are cut short."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeseg.errors import CaptureError
from edgeseg.runtime.capture.camera_modes import PREFERRED
from edgeseg.runtime.capture.clock_camera import BARS
from edgeseg.runtime.capture.pixels import COMPRESSED, PACKED, to_bgr

# (Y, Cb, Cr) of bars at full strength in BT.601, limited range: Y = 16 + 65.481 R + 128.553 G + 24.966 B, and so on
YCBCR = [
    (235, 128, 128),
    (210, 16, 146),
    (170, 166, 16),
    (145, 54, 34),
    (106, 202, 222),
    (81, 90, 240),
    (41, 240, 110),
    (16, 128, 128),
]
HEIGHT, WIDTH = 4, 32  # four columns for each bar


def planes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y (h, w), Cb and Cr (h/2, w/2) of eight bars."""
    row = np.repeat(np.array(YCBCR, np.uint8), WIDTH // 8, axis=0)
    full = np.broadcast_to(row, (HEIGHT, WIDTH, 3))
    return full[..., 0], full[::2, ::2, 1], full[::2, ::2, 2]


def packed(order: str) -> np.ndarray:
    """4:2:2 with one Cb and one Cr for two pixels, in the order of the letters."""
    y, cb, cr = planes()
    cb, cr = (np.repeat(plane, 2, axis=0) for plane in (cb, cr))
    parts = {"Y": iter((y[:, ::2], y[:, 1::2])), "U": iter((cb,)), "V": iter((cr,))}
    return np.stack([next(parts[letter]) for letter in order], axis=2).reshape(HEIGHT, -1)


def raw(fourcc: str) -> np.ndarray:
    """(rows, bytes of a row) the bars as a driver gives them."""
    y, cb, cr = planes()
    bgr = np.broadcast_to(np.repeat(np.array(BARS, np.uint8), WIDTH // 8, axis=0), (HEIGHT, WIDTH, 3))
    if fourcc in ("YUYV", "YVYU", "UYVY"):
        return packed(fourcc)
    if fourcc == "NV12":
        return np.concatenate([y, np.stack([cb, cr], axis=2).reshape(HEIGHT // 2, WIDTH)])
    if fourcc in ("YU12", "YV12"):
        first, second = (cb, cr) if fourcc == "YU12" else (cr, cb)
        return np.concatenate([y.ravel(), first.ravel(), second.ravel()]).reshape(-1, WIDTH)
    if fourcc == "GREY":
        return y
    return (bgr if fourcc == "BGR3" else bgr[..., ::-1]).reshape(HEIGHT, -1)


@pytest.mark.parametrize("fourcc", [f for f in PACKED if f != "GREY"])
def test_colour_bars_come_out_in_their_colours(fourcc: str) -> None:
    frame = to_bgr(np.ascontiguousarray(raw(fourcc)).ravel(), fourcc, (HEIGHT, WIDTH))
    assert frame is not None
    assert frame.shape == (HEIGHT, WIDTH, 3)
    middles = frame[:, 1::4].astype(int)
    assert np.abs(middles - BARS).max() <= 2  # U and V exchanged would be 200 off


@pytest.mark.parametrize("fourcc", [f for f in PACKED if f != "GREY"])
def test_padded_rows_are_cut(fourcc: str) -> None:
    tight = np.ascontiguousarray(raw(fourcc))
    if fourcc in ("YU12", "YV12"):  # their chroma rows are half as long, and padded by half as much
        luma = np.pad(tight[:HEIGHT], ((0, 0), (0, 16)))
        chroma = np.pad(tight[HEIGHT:].reshape(-1, WIDTH // 2), ((0, 0), (0, 8)))
        data, stride = np.concatenate([luma.ravel(), chroma.ravel()]), WIDTH + 16
    else:
        data, stride = np.pad(tight, ((0, 0), (0, 16))).ravel(), tight.shape[1] + 16
    frame = to_bgr(data, fourcc, (HEIGHT, WIDTH), stride)
    assert frame is not None
    np.testing.assert_array_equal(frame, to_bgr(tight.ravel(), fourcc, (HEIGHT, WIDTH)))


def test_grey_is_grey() -> None:
    frame = to_bgr(np.full(12, 77, np.uint8), "GREY", (3, 4))
    assert frame is not None
    assert (frame == 77).all()


@pytest.mark.parametrize("fourcc", list(PACKED))
def test_a_frame_cut_short_is_none(fourcc: str) -> None:
    data = np.ascontiguousarray(raw(fourcc)).ravel()
    assert to_bgr(data[:-1], fourcc, (HEIGHT, WIDTH)) is None
    assert to_bgr(data[:0], fourcc, (HEIGHT, WIDTH)) is None


def jpeg() -> np.ndarray:
    picture = np.full((32, 48, 3), (200, 60, 30), np.uint8)
    return cv2.imencode(".jpg", picture)[1].ravel()


def test_a_jpeg_is_decoded_and_half_a_jpeg_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    data = jpeg()
    frame = to_bgr(data, "MJPG", (32, 48))
    assert frame is not None
    assert np.abs(frame[5, 5].astype(int) - (200, 60, 30)).max() <= 4
    padded = np.concatenate([data, np.zeros(20, np.uint8)])  # some cameras fill up their packets
    assert to_bgr(padded, "MJPG", (32, 48)) is not None
    for bad in (data[: data.size // 2], data[2:], data[:3], np.zeros(99, np.uint8)):
        assert to_bgr(bad, "MJPG", (32, 48)) is None
    assert capfd.readouterr().err == ""


def test_the_frame_is_not_the_drivers_memory() -> None:
    data = np.ascontiguousarray(raw("BGR3")).ravel()
    frame = to_bgr(data, "BGR3", (HEIGHT, WIDTH))
    assert frame is not None
    assert not np.shares_memory(frame, data)


def test_a_format_that_is_not_read_is_named() -> None:
    with pytest.raises(CaptureError, match="'H264'"):
        to_bgr(np.zeros(9, np.uint8), "H264", (1, 1))


def test_every_format_that_is_chosen_can_be_read() -> None:
    assert set(PREFERRED) == {*PACKED, *COMPRESSED}
