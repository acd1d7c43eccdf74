import cv2
import numpy as np
import pytest

from edgeseg.errors import DataError
from edgeseg.report.worst import GAP, LINE, TILE, mean_iou, worst_sheet

A, B, VOID = 0, 1, 255
SCORES = [
    ([[A, A], [B, B]], [[A, A], [B, B]], 1.0),
    # background 2 of 3 pixels, person 1 of 2
    ([[A, A], [A, B]], [[A, A], [B, B]], (2 / 3 + 1 / 2) / 2),
    ([[A, A], [A, B]], [[A, A], [VOID, B]], 1.0),  # what is not labelled is not judged
    ([[A, B]], [[VOID, VOID]], 1.0),
    ([[2, 2]], [[A, A]], 0.0),
]


@pytest.mark.parametrize(("found", "truth", "score"), SCORES)
def test_the_score_of_a_picture(found, truth, score):
    assert mean_iou(np.array(found), np.array(truth)) == pytest.approx(score)


def pictures():
    """Four pictures, half person; the fill says how much of the person is found."""
    for i in range(4):
        frame = np.full((40, 60, 3), 10 * i, np.uint8)
        truth = np.zeros((40, 60), np.uint8)
        truth[:, :40] = 1
        yield f"picture{i}", frame, truth


def found(frame):
    """The further on, the worse: nothing is missed of the first picture, 30 columns of the last."""
    ids = np.zeros(frame.shape[:2], np.uint8)
    ids[:, : 40 - int(frame[0, 0, 0])] = 1
    return ids


def test_the_worst_come_first_with_truth_and_float_beside():
    data, names = worst_sheet(pictures(), found, lambda frame: np.ones(frame.shape[:2], np.uint8), count=2)
    assert names == ["picture3", "picture2"]
    sheet = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert sheet.shape == (2 * (round(TILE * 40 / 60) + LINE + GAP), 4 * (TILE + GAP), 3)  # as high as the pictures are
    row, right = LINE + 20, TILE - 20  # a place at the right edge of each tile, where only the float network sees a person
    picture, truth, by_float, by_file = (sheet[row, right + i * (TILE + GAP)].astype(int) for i in range(4))
    assert np.abs(picture - truth).max() < 30
    assert np.abs(picture - by_file).max() < 30
    assert np.abs(picture - by_float).max() > 80
    left = TILE // 2  # in the middle, where truth has a person and the worst picture's file sees none
    assert np.abs(sheet[row, left + TILE + GAP].astype(int) - sheet[row, left + 3 * (TILE + GAP)].astype(int)).max() > 80


def test_no_pictures():
    with pytest.raises(DataError, match="no pictures"):
        worst_sheet([], found, found)
