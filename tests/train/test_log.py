from __future__ import annotations

from pathlib import Path

from edgeseg.train.log import Row, last_scores, write_log

ROWS = [
    Row(1, 61.4, 0.51239, 0.004),
    Row(2, 122.0, 0.25, 0.002, {"iou": 0.9, "iou/a": 0.8}),
    Row(3, 180.0, 0.2, 0.001, {"iou": 0.95, "iou/b": 0.7, "iou/a": 0.85}),
    Row(4, 240.6, 0.1, 2e-5),
]


def test_the_table_by_hand(tmp_path: Path) -> None:
    write_log(tmp_path / "log.csv", ROWS)
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        "epoch,seconds,loss,learning_rate,val_iou,iou/a,iou/b",
        "1,61,0.5124,4.00e-03,,,",
        "2,122,0.2500,2.00e-03,0.9000,0.8000,",
        "3,180,0.2000,1.00e-03,0.9500,0.8500,0.7000",
        "4,241,0.1000,2.00e-05,,,",
    ]


def test_last_scores() -> None:
    assert last_scores(ROWS)["iou"] == 0.95
    assert last_scores(ROWS[:1]) == {}
