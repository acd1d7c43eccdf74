"""The contact sheet: what is tinted, and that the same seed draws the same pictures."""

import numpy as np
import pytest

from edgeseg.errors import DataError, UsageError
from edgeseg.train.pictures import read_frame
from edgeseg.train.sheet import PERSON_BGR, TILE, draw, overlay, palette, write_sheet
from edgeseg.train.survey import open_folder, survey, table
from tests.train.readers.published import GREY, picture, plane


@pytest.fixture
def labels(tmp_path):
    for stem in "abc":
        picture(tmp_path / "images" / f"{stem}.png", 4, 6)
        plane(tmp_path / "labels" / f"{stem}.png", np.tile([0, 0, 1, 1, 2, 255], (4, 1)))
    (tmp_path / "classes.csv").write_text("id,name,colour\n0,background,\n1,sky,#0000ff\n2,road,#nonsense\n")
    return open_folder(tmp_path)


def test_colours_of_labels(labels):
    colours = palette(labels)
    assert colours[1].tolist() == [255, 0, 0], "blue, as BGR"
    assert colours[2].tolist() == [0, 128, 0], "VOC's second, where classes.csv has none"
    frame, truth = labels.load("a")
    row = overlay(frame, truth, colours, labels)[0].tolist()
    # background as it was; sky half grey 90, half blue: (255 + 90) / 2 = 172.5; ignored only hatched (at x + y = 0, 6, ...)
    assert row[0] == row[1] == [GREY] * 3
    assert row[2] == [172, 45, 45]
    assert row[4] == [45, 109, 45]
    assert row[5] == [GREY] * 3
    assert overlay(frame, truth, colours, labels)[1, 5].tolist() == [255] * 3


def test_persons_are_outlined(tmp_path):
    picture(tmp_path / "images" / "a.png", 1, 4)
    plane(tmp_path / "masks" / "a.png", [[0, 255, 255, 255]])
    folder = open_folder(tmp_path)
    frame, truth = folder.load("a")
    row = overlay(frame, folder.ids(truth), palette(folder), folder)[0].tolist()
    assert row[0] == [GREY] * 3
    assert row[1] == list(PERSON_BGR)
    assert row[2] == row[3] == [round(0.65 * GREY + 0.35 * c) for c in PERSON_BGR]


def test_sheets(labels, tmp_path):
    rows = table(labels, survey(labels))
    one, same, other = (draw(labels, 1, seed, rows, "title") for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()
    assert one.shape[1] == 640
    assert draw(labels, 3, 0, rows, "title").shape[1] == 3 * TILE + 4 * 8
    write_sheet(tmp_path / "sheet.png", one)
    assert (read_frame(tmp_path / "sheet.png") == one).all()
    with pytest.raises(UsageError, match=r"sheet\.gif"):
        write_sheet(tmp_path / "sheet.gif", one)


def test_pictures_that_cannot_be_read_are_passed_over(labels):
    (labels.path / "images" / "a.png").write_bytes(b"")
    assert draw(labels, 3, 0, [], "").shape[1] == 640
    for stem in "bc":
        (labels.path / "images" / f"{stem}.png").write_bytes(b"")
    with pytest.raises(DataError, match="edgeseg data check"):
        draw(labels, 3, 0, [], "")
