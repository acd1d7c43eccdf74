"""Readers of published data sets: name -> module of this package with a `read` as `base.Reader` describes.

Nothing is imported here, so that the command line can list the names without numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeseg.train.readers.base import Reader

READERS = {
    "camvid": "CamVid: 32 colours or SegNet's ids -> 11 classes",
    "ccp": "Clothing Co-Parsing: .mat, 58 garments",
    "cityscapes": "gtFine labelIds -> 19 classes",
    "coco": "instances json: polygons, RLE; crowds ignored",
    "cocostuff": "stuff json, or stuff-thing maps",
    "cvat": "CVAT for images 1.1, xml",
    "inria": "Inria aerial: buildings, TIFF tiles cut in squares",
    "kitti_road": "KITTI road: magenta, red, black",
    "labelme": "LabelMe, json",
    "lits": "liver and tumour: NIfTI-1 volumes, or slices as PNG",
    "pascal_context": "59 classes: .mat or PNG",
    "sunrgbd": "SUN RGB-D, 37 classes: PNG or seg.mat",
    "via": "VGG Image Annotator 2, json",
    "voc": "Pascal VOC 2012: PNG in the VOC colours",
}


def open_reader(name: str) -> Reader:
    """The `read` of a reader by name."""
    from importlib import import_module

    read: Reader = import_module(f"edgeseg.train.readers.{name}").read
    return read
