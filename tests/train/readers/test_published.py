"""Data sets of label pictures and volumes: a sample in each published layout, with ids worked out by hand."""

import gzip
import struct
import sys

import numpy as np
import pytest

from edgeseg.errors import DataError, MissingExtraError
from edgeseg.train.readers import READERS, open_reader
from edgeseg.train.readers.camvid import GROUPS
from edgeseg.train.readers.cityscapes import TRAIN_IDS
from edgeseg.train.readers.cocostuff import CLASSES as STUFF
from edgeseg.train.readers.colours import voc_colours
from edgeseg.train.readers.pascal_context import CLASSES as CONTEXT
from edgeseg.train.readers.pascal_context import LABELS
from tests.train.readers.published import nifti, palette_png, picture, plane

X = 255  # ignored


def load(name, source, split=None):
    """{stem: ids as lists} of a collection, and the collection."""
    collection = open_reader(name)(source, split)
    return {item.stem: item.load().ids.tolist() for item in collection.items}, collection


def test_every_reader_is_named_and_opens():
    assert all(callable(open_reader(name)) for name in READERS)
    assert list(READERS) == sorted(READERS)


def test_camvid_colours(tmp_path):
    picture(tmp_path / "701_StillsRaw_full" / "0001TP_006690.png")
    picture(tmp_path / "701_StillsRaw_full" / "Seq05VD_f00000.png")
    # Sky, Column_Pole, LaneMkgsDriv; Truck_Bus, MotorcycleScooter, Void
    rows = [[(128, 128, 128), (192, 192, 128), (128, 0, 192)], [(192, 128, 192), (192, 0, 192), (0, 0, 0)]]
    for stem in ("0001TP_006690", "Seq05VD_f00000"):
        plane(tmp_path / "LabeledApproved_full" / f"{stem}_L.png", rows)
    ids, collection = load("camvid", tmp_path)
    expected = [[0, 2, 3], [8, 10, X]]
    assert ids == {"0001TP_006690": expected, "Seq05VD_f00000": expected}
    assert [collection.classes[i] for i in (0, 2, 3, 8, 10)] == ["Sky", "Pole", "Road", "Car", "Bicyclist"]
    assert [item.source for item in collection.items] == ["camvid-0001TP", "camvid-Seq05V"]
    (tmp_path / "val.txt").write_text("0001TP_006690.png\n")
    assert list(load("camvid", tmp_path, "val.txt")[0]) == ["0001TP_006690"]


def test_camvid_has_32_colours():
    assert len(GROUPS) == 32
    assert sorted(set(GROUPS.values())) == [*range(11), X]


def test_camvid_ids_of_segnet(tmp_path):
    picture(tmp_path / "val" / "0016E5_07959.png")
    plane(tmp_path / "valannot" / "0016E5_07959.png", [[0, 10, 11], [3, 3, 255]])
    ids, collection = load("camvid", tmp_path, "val")
    assert ids == {"0016E5_07959": [[0, 10, X], [3, 3, X]]}
    assert collection.person == ("Pedestrian",)


def test_cityscapes(tmp_path):
    name = "aachen_000000_000019"
    picture(tmp_path / "leftImg8bit" / "train" / "aachen" / f"{name}_leftImg8bit.png")
    # road, person, bicycle; ego vehicle, parking, caravan: the last three are not among the 19
    plane(tmp_path / "gtFine" / "train" / "aachen" / f"{name}_gtFine_labelIds.png", [[7, 24, 33], [1, 9, 29]])
    plane(tmp_path / "gtFine" / "train" / "aachen" / f"{name}_gtFine_instanceIds.png", [[7, 24, 33], [1, 9, 29]])
    ids, collection = load("cityscapes", tmp_path)
    assert ids == {name: [[0, 11, 18], [X, X, X]]}
    assert (len(TRAIN_IDS), collection.items[0].source) == (19, "cityscapes-aachen")


def test_voc_colours_are_those_published():
    # from VOClabelcolormap: background, aeroplane, bicycle, person, tvmonitor, void
    published = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {i: tuple(voc_colours()[i].tolist()) for i in published} == published


@pytest.mark.parametrize("root", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_voc(tmp_path, root):
    home = tmp_path / root
    picture(home / "JPEGImages" / "2007_000032.jpg")
    palette_png(home / "SegmentationClass" / "2007_000032.png", [[0, 1, 15], [20, 255, 0]], voc_colours())
    (home / "ImageSets" / "Segmentation").mkdir(parents=True)
    (home / "ImageSets" / "Segmentation" / "val.txt").write_text("2007_000032\n\n")
    ids, collection = load("voc", tmp_path, "val")
    assert ids == {"2007_000032": [[0, 1, 15], [20, X, 0]]}
    assert [collection.classes[i] for i in (1, 15, 20)] == ["aeroplane", "person", "tvmonitor"]
    # labels with plain ids, as train_aug has them
    plane(home / "SegmentationClassAug" / "2007_000032.png", [[0, 15, 15], [20, 255, 0]])
    (home / "ImageSets" / "Segmentation" / "train_aug.txt").write_text("2007_000032\n")
    assert load("voc", tmp_path, "train_aug")[0] == {"2007_000032": [[0, 15, 15], [20, X, 0]]}


def test_pascal_context(tmp_path):
    picture(tmp_path / "JPEGImages" / "2008_000002.jpg")
    plane(tmp_path / "SegmentationClassContext" / "2008_000002.png", [[0, 1, 59], [37, 37, 255]])
    ids, collection = load("pascal_context", tmp_path)
    assert ids == {"2008_000002": [[X, 0, 58], [36, 36, X]]}
    assert (CONTEXT[0], CONTEXT[36], CONTEXT[58]) == ("aeroplane", "person", "wood")
    assert len(CONTEXT) == len(LABELS) == len(set(LABELS)) == len(set(collection.classes)) == 59
    assert list(LABELS) == sorted(LABELS)
    assert list(CONTEXT) == sorted(CONTEXT)  # both lists are alphabetical, so that their order is the same


def test_pascal_context_as_published(tmp_path):
    io = pytest.importorskip("scipy.io")
    picture(tmp_path / "JPEGImages" / "2008_000008.jpg")
    (tmp_path / "trainval").mkdir()
    # labels.txt: 2 aeroplane, 284 person, 458 wood; 1 and 459 are none of the 59
    io.savemat(tmp_path / "trainval" / "2008_000008.mat", {"LabelMap": np.array([[2, 284, 458], [0, 1, 459]], np.uint16)})
    assert load("pascal_context", tmp_path)[0] == {"2008_000008": [[0, 36, 58], [X, X, X]]}


def test_kitti_road(tmp_path):
    for name in ("um_000000", "uu_000000"):
        picture(tmp_path / "training" / "image_2" / f"{name}.png")
    rows = [[(255, 0, 255), (255, 0, 0), (0, 0, 0)], [(255, 0, 255), (255, 0, 255), (255, 0, 0)]]
    for name in ("um_road_000000", "um_lane_000000", "uu_road_000000"):
        plane(tmp_path / "training" / "gt_image_2" / f"{name}.png", rows)
    ids, collection = load("kitti_road", tmp_path)
    expected = [[1, 0, X], [1, 1, 0]]
    assert ids == {"um_000000": expected, "uu_000000": expected}
    assert list(collection.classes) == ["background", "road"]
    assert list(load("kitti_road", tmp_path, "uu")[0]) == ["uu_000000"]


def test_ccp(tmp_path):
    io = pytest.importorskip("scipy.io")
    picture(tmp_path / "photos" / "0001.jpg")
    (tmp_path / "annotations" / "pixel-level").mkdir(parents=True)
    io.savemat(
        tmp_path / "annotations" / "pixel-level" / "0001.mat", {"groundtruth": np.array([[0, 1, 2], [2, 0, 0]], np.uint8)}
    )
    io.savemat(tmp_path / "label_list.mat", {"label_list": np.array([["null", "bag", "skin"]], object)})
    ids, collection = load("ccp", tmp_path)
    assert ids == {"ccp_0001": [[0, 1, 2], [2, 0, 0]]}
    assert list(collection.classes) == ["background", "bag", "skin"]
    assert list(collection.person) == ["bag", "skin"]


@pytest.mark.parametrize(
    ("pictures", "labels", "shift"),
    [
        ("image/train", "label37/train/img37labels-{:06}.png", 0),
        ("SUNRGBD-train_images", "sunrgbd_train_test_labels/img-{:06}.png", 5050),
    ],
)
def test_sunrgbd(tmp_path, pictures, labels, shift):
    picture(tmp_path / pictures / "img-000002.jpg")
    plane(tmp_path / labels.format(2 + shift), [[0, 1, 37], [31, 31, 0]])
    if shift:
        plane(tmp_path / labels.format(2), [[9, 9, 9], [9, 9, 9]])  # of the test part, which comes first
    ids, collection = load("sunrgbd", tmp_path, "train")
    assert ids == {"train_img-000002": [[X, 0, 36], [30, 30, X]]}
    assert [collection.classes[i] for i in (0, 30, 36)] == ["wall", "person", "bag"]
    assert len(collection.classes) == 37


def test_sunrgbd_scenes(tmp_path):
    io = pytest.importorskip("scipy.io")
    scene = tmp_path / "kv1" / "NYUdata" / "NYU0001"
    picture(scene / "image" / "NYU0001.jpg")
    names = np.array([["Person", "night stand", "teapot"]], object)
    io.savemat(scene / "seg.mat", {"seglabel": np.array([[0, 1, 2], [3, 3, 1]], np.uint16), "names": names})
    collection = open_reader("sunrgbd")(tmp_path, None)
    sample = collection.items[0].load()
    assert (collection.items[0].stem, collection.items[0].source) == ("kv1_NYUdata_NYU0001", "sunrgbd-kv1")
    assert sample.ids.tolist() == [[X, 30, 31], [X, X, 30]]
    assert list(sample.unknown) == ["teapot"]


def test_inria_is_cut_in_squares(tmp_path, monkeypatch):
    monkeypatch.setattr("edgeseg.train.readers.inria.SQUARE", 2)
    for name in ("austin1", "austin6"):
        plane(tmp_path / "AerialImageDataset" / "train" / "images" / f"{name}.tif", np.arange(45).reshape(3, 5, 3))
        plane(tmp_path / "AerialImageDataset" / "train" / "gt" / f"{name}.tif", [[0, 0, 255, 255, 0], [0] * 5, [255] * 5])
    ids, collection = load("inria", tmp_path, "val")
    # 3x5: rows from 0 and 1, columns from 0, 2 and 3, so that the last ones end with the picture
    assert ids == {
        "austin1_y00000_x00000": [[0, 0], [0, 0]],
        "austin1_y00000_x00002": [[1, 1], [0, 0]],
        "austin1_y00000_x00003": [[1, 0], [0, 0]],
        "austin1_y00001_x00000": [[0, 0], [1, 1]],
        "austin1_y00001_x00002": [[0, 0], [1, 1]],
        "austin1_y00001_x00003": [[0, 0], [1, 1]],
    }
    frame = collection.items[1].load().picture
    assert frame[0, 0].tolist() == [8, 7, 6], "the pixel (0, 2) holds 6, 7, 8 as RGB"
    assert len(load("inria", tmp_path)[0]) == 12
    assert {stem[:7] for stem in load("inria", tmp_path, "train")[0]} == {"austin6"}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_lits_volumes(tmp_path, packed, order):
    # Two slices of 1x3. Stored x 2 - 160: 0 -> -160 HU, the black of the window; 200 -> 240 HU, white; 100 -> 40 HU, 127.5
    volume = np.array([[[0, 100, 200]], [[-50, 0, 900]]], np.int16)
    truth = np.array([[[0, 1, 2]], [[0, 0, 1]]], np.uint8)
    (tmp_path / "Training Batch 1").mkdir()
    for name, data in (
        ("volume-7.nii", nifti(volume, 4, slope=2.0, inter=-160.0, order=order)),
        ("segmentation-7.nii", nifti(truth, 2)),
    ):
        path = tmp_path / "Training Batch 1" / name
        if packed:
            path.with_name(f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            path.write_bytes(data)
    ids, collection = load("lits", tmp_path)
    assert ids == {"volume-7_z0000": [[0, 1, 2]], "volume-7_z0001": [[0, 0, 1]]}
    assert [item.load().picture[..., 0].tolist() for item in collection.items] == [[[0, 128, 255]], [[0, 0, 255]]]
    assert {item.source for item in collection.items} == {"lits-volume-7"}


@pytest.mark.parametrize("rows", [[[0, 1, 2], [0, 0, 0]], [[0, 127, 255], [0, 0, 0]], [[0, 128, 255], [0, 0, 0]]])
def test_lits_slices(tmp_path, rows):
    picture(tmp_path / "images" / "volume-0_12.png")
    plane(tmp_path / "masks" / "volume-0_12.png", rows)
    ids, collection = load("lits", tmp_path)
    assert ids == {"volume-0_12": [[0, 1, 2], [0, 0, 0]]}
    assert list(collection.classes) == ["background", "liver", "tumour"]


def test_cocostuff_maps(tmp_path):
    picture(tmp_path / "images" / "train2017" / "000000000009.jpg")
    plane(tmp_path / "annotations" / "train2017" / "000000000009.png", [[0, 91, 181], [255, 123, 0]])
    ids, collection = load("cocostuff", tmp_path)
    assert ids == {"000000000009": [[0, 91, 181], [X, 123, 0]]}
    # labels.txt counts from 1: 1 person, 92 banner, 124 grass, 182 wood
    assert [collection.classes[i] for i in (0, 91, 123, 181)] == ["person", "banner", "grass", "wood"]
    assert len(STUFF) == len(set(STUFF)) == 182


EMPTY = [(name, "nonsense") for name in READERS] + [(name, None) for name in READERS]


@pytest.mark.parametrize(("name", "split"), EMPTY)
def test_a_folder_that_is_no_such_set(tmp_path, name, split):
    (tmp_path / "photo.txt").write_text("nothing")
    with pytest.raises(DataError) as caught:
        open_reader(name)(tmp_path, split)
    assert str(tmp_path) in str(caught.value) or "splits" in str(caught.value), "says where, or what may be asked for"
    assert "\n" not in str(caught.value)


def volume(**changes):
    return nifti(np.zeros((1, 1, 3), np.uint8), 2, **changes)


def header_with(data, format_, at, *values):
    changed = bytearray(data)
    struct.pack_into(format_, changed, at, *values)
    return bytes(changed)


VOLUMES = [
    (b"", "no NIfTI"),
    (b"\x1f\x8b no gzip", "no NIfTI"),
    (volume()[:200], "no NIfTI"),
    (volume()[:-1], "ends in slice 0 of 1"),
    (header_with(volume(), "<4s", 344, b"ni1\0"), "no NIfTI"),
    (volume(dim=(4, 3, 1, 1, 5, 1, 1, 1)), "three are read"),
    (volume(dim=(3, 0, 1, 1, 1, 1, 1, 1)), "three are read"),
    (volume(dim=(3, 32767, 32767, 1, 1, 1, 1, 1)), "claims 1 slices of 32767x32767"),
    (volume(dim=(3, 3, 1, 32767, 1, 1, 1, 1)), "claims 32767 slices"),
    (header_with(volume(), "<h", 70, 128), "data type 128"),
    (header_with(volume(), "<f", 108, float("nan")), "at byte nan"),
    (header_with(volume(), "<f", 108, 1e12), "at byte 1e"),
    (volume(dim=(3, 1, 3, 1, 1, 1, 1, 1)), "slices, height, width"),
    (header_with(volume(), "<B", 352, 9), "0, 1 or 2"),
]


@pytest.mark.parametrize(("data", "needle"), VOLUMES)
def test_volumes_that_cannot_be_read(tmp_path, data, needle):
    (tmp_path / "volume-0.nii").write_bytes(volume())
    (tmp_path / "segmentation-0.nii").write_bytes(data)
    (item,) = open_reader("lits")(tmp_path, None).items
    with pytest.raises(DataError, match=needle):
        item.load()


def test_a_packed_volume_that_breaks_off(tmp_path):
    (tmp_path / "volume-0.nii.gz").write_bytes(gzip.compress(volume())[:18])
    (tmp_path / "segmentation-0.nii").write_bytes(volume())
    with pytest.raises(DataError, match="cannot be read"):
        open_reader("lits")(tmp_path, None).items[0].load()


def test_matlab_files_that_cannot_be_read(tmp_path):
    io = pytest.importorskip("scipy.io")
    picture(tmp_path / "photos" / "0001.jpg")
    folder = tmp_path / "annotations" / "pixel-level"
    folder.mkdir(parents=True)
    io.savemat(tmp_path / "label_list.mat", {"label_list": np.array([["null", "bag"]], object)})
    cases = {"no variable groundtruth": {"other": 1}, "ids 0 to 2": {"groundtruth": np.array([[0, 2]])}}
    cases["matrix of numbers"] = {"groundtruth": np.array([["a"]], object)}
    for needle, content in cases.items():
        io.savemat(folder / "0001.mat", content)
        with pytest.raises(DataError, match=needle):
            open_reader("ccp")(tmp_path, None).items[0].load()
    for data in (b"", b"not matlab at all", (folder / "0001.mat").read_bytes()[:150]):
        (folder / "0001.mat").write_bytes(data)
        with pytest.raises(DataError, match=r"no MATLAB file|no variable"):
            open_reader("ccp")(tmp_path, None).items[0].load()


def test_matlab_files_without_scipy(tmp_path, monkeypatch):
    picture(tmp_path / "photos" / "0001.jpg")
    (tmp_path / "annotations" / "pixel-level").mkdir(parents=True)
    monkeypatch.setitem(sys.modules, "scipy.io", None)  # what the import system takes for "not installed"
    with pytest.raises(MissingExtraError, match=r"needs scipy.*edgeseg\[data\]"):
        open_reader("ccp")(tmp_path, None)


WRONG = [
    ("camvid", "LabeledApproved_full/a_L.png", [[(1, 2, 3)] * 3] * 2, "unknown colours, as #010203"),
    ("camvid-ids", "trainannot/a.png", [[12, 0, 0]] * 2, "ids to 12"),
    ("kitti_road", "gt_image_2/um_road_000001.png", [[(0, 0, 0)] * 3] * 2, "um_000001.png is not there"),
]


@pytest.mark.parametrize(("name", "label", "rows", "needle"), WRONG)
def test_labels_that_cannot_be_used(tmp_path, name, label, rows, needle):
    plane(tmp_path / label, rows)
    for frame in ("701_StillsRaw_full/a.png", "train/a.png", "image_2/um_000000.png"):
        picture(tmp_path / frame)
    (item,) = open_reader(name.removesuffix("-ids"))(tmp_path, None).items
    with pytest.raises(DataError, match=needle):
        item.load()
