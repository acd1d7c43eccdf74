"""COCO-Stuff: COCO's pictures with 91 kinds of stuff (grass, wall, sky) labelled as well.

Caesar, Uijlings and Ferrari 2018; README and labels.txt of nightrome/cocostuff. Layouts, the pictures as in COCO:

    annotations/SPLIT/000000000139.png       stuffthingmaps: things and stuff, value i is label i + 1, 255 not labelled
    annotations/stuff_SPLIT.json             stuff as run lengths: categories 92 to 182, and 183 for all things

Pixels that nothing covers are ignored.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edgeseg.train.data import pictures_in
from edgeseg.train.pictures import read_plane
from edgeseg.train.readers.base import (
    IGNORE,
    Collection,
    Ids,
    Item,
    ItemError,
    Sample,
    inside,
    missing,
    require,
)
from edgeseg.train.readers.coco import Record, draw, find_annotations, make_items, read_annotations

# Labels 1 to 182. Eleven things (street sign, hat, shoe, ...) were planned and never labelled; they keep their places.
CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light", "fire hydrant"),
    *("street sign", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear"),
    *("zebra", "giraffe", "hat", "backpack", "umbrella", "shoe", "eye glasses", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "plate", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant"),
    *("bed", "mirror", "dining table", "window", "desk", "toilet", "door", "tv", "laptop", "mouse", "remote", "keyboard"),
    *("cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "blender", "book", "clock", "vase", "scissors"),
    *("teddy bear", "hair drier", "toothbrush", "hair brush", "banner", "blanket", "branch", "bridge", "building-other"),
    *("bush", "cabinet", "cage", "cardboard", "carpet", "ceiling-other", "ceiling-tile", "cloth", "clothes", "clouds"),
    *("counter", "cupboard", "curtain", "desk-stuff", "dirt", "door-stuff", "fence", "floor-marble", "floor-other"),
    *("floor-stone", "floor-tile", "floor-wood", "flower", "fog", "food-other", "fruit", "furniture-other", "grass"),
    *("gravel", "ground-other", "hill", "house", "leaves", "light", "mat", "metal", "mirror-stuff", "moss", "mountain"),
    *("mud", "napkin", "net", "paper", "pavement", "pillow", "plant-other", "plastic", "platform", "playingfield"),
    *("railing", "railroad", "river", "road", "rock", "roof", "rug", "salad", "sand", "sea", "shelf", "sky-other"),
    *("skyscraper", "snow", "solid-other", "stairs", "stone", "straw", "structural-other", "table", "tent"),
    *("textile-other", "towel", "tree", "vegetable", "wall-brick", "wall-concrete", "wall-other", "wall-panel"),
    *("wall-stone", "wall-tile", "wall-wood", "water-other", "waterdrops", "window-blind", "window-other", "wood"),
)


def read(source: Path, split: str | None) -> Collection:
    """A split (train2017, val2017): its pixel maps where they are, or its json."""
    maps = source / "annotations" / (split or "train2017")
    if maps.is_dir():
        return Collection(CLASSES, require(_maps(source, maps), maps, "pixel maps"), person=("person",))
    path, split = find_annotations(source, "stuff", split)
    pictures, by_picture, categories = read_annotations(path)
    index = {number: i for i, number in enumerate(categories)}

    def paint(ids: Ids, found: list[Record]) -> list[str]:
        return draw(ids, found, index)

    items = make_items(source, split, pictures, by_picture, "cocostuff", IGNORE, paint)
    return Collection(list(categories.values()), require(items, path, "pictures"))


def _maps(source: Path, maps: Path) -> list[Item]:
    def load(path: Path) -> Sample:
        file = f"{path.stem}.jpg"
        places = ((maps.name, file), ("images", maps.name, file), ("images", file))
        picture = next((p for p in (inside(source, *place) for place in places) if p), None)
        if picture is None:
            raise missing(file)
        ids = read_plane(path)
        if ((ids >= len(CLASSES)) & (ids != IGNORE)).any():
            raise ItemError("ids outside the classes", f"{path} has the id {ids[ids != IGNORE].max()}; labels end with 181")
        return Sample(picture, ids)

    return [Item(p.stem, f"cocostuff-{maps.name}", partial(load, p)) for p in pictures_in(maps)]
