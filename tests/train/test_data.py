from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.errors import DataError
from edgeseg.train.data import Pair, load, read_folder, split


def folder(path: Path, stems: list[str], size: tuple[int, int] = (8, 6)) -> Path:
    for part, suffix in (("images", ".jpg"), ("masks", ".png")):
        (path / part).mkdir(parents=True)
        for stem in stems:
            cv2.imwrite(str(path / part / f"{stem}{suffix}"), np.full(size if part == "masks" else (*size, 3), 200, np.uint8))
    return path


def test_pairs_and_sources(tmp_path: Path) -> None:
    data = folder(tmp_path, ["eg_0001", "eg_0002", "ccp-street_7", "42"])
    (data / "manifest.csv").write_text("file,source_repo\nccp-street_7.jpg,someone/photos\n")
    pairs = read_folder(data)
    assert [(p.image.name, p.mask.name, p.source) for p in pairs] == [
        ("42.jpg", "42.png", "unnamed"),
        ("ccp-street_7.jpg", "ccp-street_7.png", "someone/photos"),
        ("eg_0001.jpg", "eg_0001.png", "eg"),
        ("eg_0002.jpg", "eg_0002.png", "eg"),
    ]


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ("masks/*", "2 of 2 pictures in .* have no mask; the first is a_1.jpg"),
        ("masks/a_2.png", "1 of 2 pictures in .* have no mask; the first is a_2.jpg"),
        ("images/*", "has no pictures"),
        ("masks", "has no masks/ folder"),
    ],
)
def test_a_folder_that_is_none_is_named(tmp_path: Path, remove: str, message: str) -> None:
    data = folder(tmp_path, ["a_1", "a_2"])
    if remove == "masks":
        (data / "masks").rename(data / "elsewhere")
    else:
        for path in data.glob(remove):
            path.unlink()
    with pytest.raises(DataError, match=message):
        read_folder(data)


def test_split_holds_back_the_end_of_every_source_and_a_gap() -> None:
    pairs = [Pair(Path(f"{s}_{i}.jpg"), Path(f"{s}_{i}.png"), s) for s in "ab" for i in range(30)]
    train, validation = split(pairs, 0.1, gap=2)
    assert [p.image.stem for p in validation] == ["a_27", "a_28", "a_29", "b_27", "b_28", "b_29"]
    assert [p.image.stem for p in train] == [f"{s}_{i}" for s in "ab" for i in range(25)]
    assert split(pairs[:4], 0.1)[1] == []  # too few to hold any back, so none are lost to the gap either
    assert len(split(pairs[:4], 0.1)[0]) == 4


def test_numbers_in_names_are_ordered_as_numbers() -> None:
    pairs = [Pair(Path(f"v_{i}.jpg"), Path(f"v_{i}.png"), "v") for i in (10, 9, 1, 2, 11, 3, 4, 5, 6, 7, 8)]
    assert [p.image.stem for p in split(pairs, 0.2, gap=0)[1]] == ["v_10", "v_11"]


def test_large_pictures_are_shrunk_to_the_longer_side(tmp_path: Path) -> None:
    pair = read_folder(folder(tmp_path, ["a_1"], (40, 20)))[0]
    frame, mask = load(pair, 10)
    assert (frame.shape, mask.shape) == ((10, 5, 3), (10, 5))
    assert load(pair)[0].shape == (40, 20, 3)


def test_a_mask_of_another_size_and_a_broken_picture_are_named(tmp_path: Path) -> None:
    pair = read_folder(folder(tmp_path, ["a_1"]))[0]
    cv2.imwrite(str(pair.mask), np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"a_1\.jpg is 8x6, its mask 4x4 pixels"):
        load(pair)
    pair.image.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a_1\.jpg is no PNG, JPEG"):
        load(pair)
