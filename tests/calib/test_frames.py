"""Which pictures are drawn, and what is said of folders that have none."""

import struct
import sys

import cv2
import numpy as np
import pytest

from edgeseg.calib.frames import from_folder, from_sample, spread
from edgeseg.errors import DataError


def fill(folder, count, name="p", size=(8, 6)):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{name}{i:03}.png"), np.full((*size, 3), i, np.uint8))


def test_spread_is_even_over_groups_and_inside_them():
    groups = [[f"a{i}" for i in range(100)], [f"b{i}" for i in range(10)], ["c0"]]
    drawn = spread(groups, 9)
    assert [sum(name[0] == group for name in drawn) for group in "abc"] == [4, 4, 1]
    assert [name for name in drawn if name[0] == "a"] == ["a12", "a37", "a62", "a87"]


@pytest.mark.parametrize("count", [0, 1, 5, 1000])
def test_spread_draws_no_more_than_there_are(count):
    groups = [list("abc"), list("de"), []]
    drawn = spread(groups, count)
    assert len(drawn) == len(set(drawn)) == min(count, 5)


def test_proof_and_measurement_use_other_pictures(tmp_path):
    fill(tmp_path, 40)
    pictures = from_folder(tmp_path, calibration=16, parity=8)
    calibration, parity = ({p.name for p in part} for part in (pictures.calibration, pictures.parity))
    assert (len(calibration), len(parity)) == (16, 8)
    assert not calibration & parity


def test_a_few_pictures_serve_for_both(tmp_path):
    fill(tmp_path, 3)
    pictures = from_folder(tmp_path, calibration=16, parity=8)
    assert len(pictures.calibration) == len(pictures.parity) == 3


def test_sources_of_a_manifest_get_equal_shares(tmp_path):
    fill(tmp_path / "images", 30, "a")
    fill(tmp_path / "images", 10, "b")
    rows = [f"{name}{i:03}.png,{name}" for name, n in (("a", 30), ("b", 10)) for i in range(n)]
    (tmp_path / "manifest.csv").write_text("file,source\n" + "\n".join(rows) + "\n")
    names = [p.name[0] for p in from_folder(tmp_path, calibration=8, parity=6).parity]
    assert (names.count("a"), names.count("b")) == (3, 3)


def test_masks_and_labels_are_read_as_class_ids(tmp_path):
    fill(tmp_path / "images", 1)
    (tmp_path / "masks").mkdir()
    soft = np.array([[0, 127], [128, 255]], np.uint8)
    cv2.imwrite(str(tmp_path / "masks" / "p000.png"), soft)
    assert from_folder(tmp_path).parity[0].truth.tolist() == [[0, 0], [1, 1]]
    (tmp_path / "masks" / "p000.png").unlink()
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "labels" / "p000.png"), np.array([[3, 255]], np.uint8))
    assert from_folder(tmp_path).parity[0].truth.tolist() == [[3, 255]]


def claiming(pixels):
    """The beginning of a BMP of so many pixels a side, which are not there."""
    return b"BM" + bytes(16) + struct.pack("<ii", pixels, pixels) + bytes(28)


GOOD = cv2.imencode(".png", np.zeros((8, 6, 3), np.uint8))[1].tobytes()
COLOURS = cv2.imencode(".png", np.full((8, 6, 3), (0, 128, 255), np.uint8))[1].tobytes()
JPEG = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[1].tobytes()
UNUSABLE = [
    ("no folder", None, "does not exist"),
    ("an empty folder", {}, "no pictures"),
    ("no picture", {"p.png": b"no picture"}, r"p\.png is no PNG, JPEG"),
    ("an empty picture", {"p.png": b""}, r"p\.png is empty"),
    ("a huge picture", {"p.bmp": claiming(100_000)}, r"p\.bmp claims 100000x100000 pixels; at most 120,000,000"),
    ("half a picture", {"p.jpg": JPEG[:2000]}, r"p\.jpg is cut off"),
    ("a mask that is none", {"images/p.png": GOOD, "masks/p.png": b"none"}, r"masks/p\.png is no PNG"),
    ("labels in colour", {"images/p.png": GOOD, "labels/p.png": COLOURS}, r"labels/p\.png must be .* one channel"),
]


@pytest.mark.parametrize(("content", "message"), [c[1:] for c in UNUSABLE], ids=[c[0] for c in UNUSABLE])
def test_folders_that_cannot_be_used(tmp_path, content, message):
    folder = tmp_path / "pictures"
    if content is not None:
        folder.mkdir()
        for name, data in content.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        from_folder(folder)


def test_the_sample_is_the_same_every_time_and_never_the_same_twice():
    pytest.importorskip("matplotlib")
    one, two = from_sample(3, 2), from_sample(3, 2)
    assert one.note
    assert (len(one.calibration), len(one.parity)) == (3, 2)
    assert all(np.array_equal(a.frame, b.frame) for a, b in zip(one.calibration, two.calibration, strict=True))
    shots = [p.frame for p in (*one.calibration, *one.parity)]
    assert not any(np.array_equal(a, b) for i, a in enumerate(shots) for b in shots[:i])


def test_without_matplotlib_the_message_names_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.cbook", None)
    with pytest.raises(DataError, match=r"--calib DIR, or install matplotlib .*pip install 'edgeseg\[export\]'"):
        from_sample()
