from __future__ import annotations

import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.errors import MissingExtraError
from edgeseg.train import curves as module
from edgeseg.train.curves import curves, draw, events
from edgeseg.train.log import Row

ROWS = [
    Row(1, 60.0, 0.5, 4e-3),
    Row(2, 120.0, 0.25, 2e-3, {"iou": 0.5, "iou/a": 0.25}),
    Row(3, 180.0, 0.2, 1e-3, {"iou": 0.75, "iou/b": 0.5}),
]


def test_series_by_hand() -> None:
    assert module._series(ROWS) == {"iou": [(2, 0.5), (3, 0.75)], "iou/a": [(2, 0.25)], "iou/b": [(3, 0.5)]}


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS], ids=["one epoch without scores", "three"])
def test_a_picture_is_drawn(tmp_path: Path, rows: list[Row]) -> None:
    draw(tmp_path / "curves.png", rows)
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape == (900, 800, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]  # whole, and nothing beside it


def test_the_curve_of_the_loss_is_where_it_should_be(tmp_path: Path) -> None:
    """A loss that falls is drawn from the upper left to the lower right of its third."""
    draw(tmp_path / "curves.png", [Row(i + 1, 60.0, 1.0 - i / 10, 1e-3) for i in range(11)])
    picture = cv2.imread(str(tmp_path / "curves.png")).astype(int)
    blue = np.abs(picture - (0x79, 0x4E, 0x1F)).sum(2) < 30
    rows, columns = np.nonzero(blue[:300])
    assert np.corrcoef(rows, columns)[0, 1] > 0.99
    assert np.ptp(columns) > 600


def test_short_epochs_share_a_picture_and_the_last_has_one(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    record = curves(path, print)
    record(ROWS[:1], False)
    first = path.read_bytes()
    record(ROWS[:2], False)
    assert path.read_bytes() == first
    record(ROWS, True)
    assert path.read_bytes() != first


def test_without_matplotlib_a_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    lines: list[str] = []
    record = curves(tmp_path / "curves.png", lines.append)
    record(ROWS, True)
    assert len(lines) == 1
    assert lines[0].startswith("curves.png needs matplotlib, which is not installed; run: pip install 'edgeseg[report]'")
    assert list(tmp_path.iterdir()) == []


def test_without_tensorboardx_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingExtraError, match=r"--tensorboard needs tensorboardX, .* pip install 'edgeseg\[report\]'"):
        events(tmp_path)


def scalars(path: Path) -> list[tuple[str, int, float]]:
    """(name, step, value) in an event file: records of length (8 bytes), checksum (4), event, checksum (4)."""
    from tensorboardX.proto.event_pb2 import Event

    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        event = Event.FromString(data[at + 12 : at + 12 + length])
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        at += length + 16
    return found


def test_events_by_hand(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX, of the extra report, is not installed")
    record = events(tmp_path)
    record(ROWS[:2], False)
    (path,) = tmp_path.iterdir()
    expected = [
        ("loss", 1, 0.5), ("learning_rate", 1, 4e-3),
        ("loss", 2, 0.25), ("learning_rate", 2, 2e-3), ("validation/iou", 2, 0.5), ("validation/iou/a", 2, 0.25),
    ]  # fmt: skip
    assert [(name, step, pytest.approx(value)) for name, step, value in scalars(path)] == expected
    record(ROWS, True)
    assert [(name, step) for name, step, _ in scalars(path)[6:]] == [
        ("loss", 3), ("learning_rate", 3), ("validation/iou", 3), ("validation/iou/b", 3),
    ]  # fmt: skip
