"""Segmentation pictures at the picture's own size."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import DataError, UsageError
from edgeseg.runtime import open_session
from edgeseg.runtime import segment as module
from edgeseg.runtime.picture import write_picture
from edgeseg.runtime.segment import is_matting, pair_outputs, segment
from tests.runtime.tiny_models import ONNX_SPEC, write_onnx

PRIMARIES = [[0, 0, 16], [0, 16, 0], [16, 0, 0]]  # class 0 is blue, 1 green, 2 red


def stripes(size: tuple[int, int]) -> np.ndarray:
    """Blue, green and red thirds from left to right, in frames whose width is a multiple of 3."""
    frame = np.zeros((*size, 3), np.uint8)
    third = size[1] // 3
    for channel in range(3):
        frame[:, channel * third : (channel + 1) * third, channel] = 255
    return frame


@pytest.mark.parametrize("size", [(96, 96), (479, 642), (31, 33)])
@pytest.mark.parametrize("many", [False, True])
def test_class_ids_have_the_pictures_size(
    tmp_path: Path, size: tuple[int, int], many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if many:  # the way for large pictures
        monkeypatch.setattr(module, "WHOLE_VALUES", 0)
    spec = dataclasses.replace(ONNX_SPEC, classes=("sky", "grass", "brick"), person_class=None)
    session = open_session(write_onnx(tmp_path / "m.onnx", spec, PRIMARIES))
    ids = segment(session, stripes(size))
    assert ids.shape == size
    assert ids.dtype == np.uint8
    third = size[1] // 3
    for index in range(3):
        inner = ids[:, index * third + third // 3 : (index + 1) * third - third // 3]
        assert (inner == index).all()


def test_a_person_model_gives_a_matte(tmp_path: Path) -> None:
    session = open_session(write_onnx(tmp_path / "m.onnx"))
    assert is_matting(session)
    matte = segment(session, stripes((90, 120)))
    assert matte.shape == (90, 120)
    assert np.abs(matte[:, :4].astype(int) - 128).max() <= 8  # blue: a logit of 0
    assert matte[:, 52:68].max() < 10  # green
    assert matte[:, 100:].min() > 245  # red


def test_outputs_are_checked_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/x.png", "x.jpg"):
        write_picture(tmp_path / name, np.zeros((2, 2, 3), np.uint8))
    out = tmp_path / "out"
    assert pair_outputs([tmp_path / "a"], out) == [(tmp_path / "a" / "x.png", out / "x.png")]
    with pytest.raises(UsageError, match="both be written"):
        pair_outputs([tmp_path / "a", tmp_path / "x.jpg"], out)
    with pytest.raises(UsageError, match="overwrite"):
        pair_outputs([tmp_path / "a"], tmp_path / "a")
    with pytest.raises(DataError, match="does not exist"):
        pair_outputs([tmp_path / "none.jpg"], out)
