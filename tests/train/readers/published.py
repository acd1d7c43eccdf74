"""Writers of tiny data sets in the formats in which they are published."""

import base64
import json
import struct
import zlib

import cv2
import numpy as np

GREY = 90  # of every picture


def picture(path, height=2, width=3):
    """A grey picture of any suffix."""
    return plane(path, np.full((height, width, 3), GREY, np.uint8))


def plane(path, values):
    """An array as a picture; three channels are RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.asarray(values, np.uint8)
    assert cv2.imwrite(str(path), np.ascontiguousarray(array[..., ::-1]) if array.ndim == 3 else array)
    return path


def png(width, height, colour_type, rows, palette=None):
    """The bytes of a PNG, written by hand: 8 bits a channel, no filter."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))
    colours = chunk(b"PLTE", bytes(palette)) if palette is not None else b""
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(row) for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + colours + body + chunk(b"IEND", b"")


def palette_png(path, ids, palette):
    """A palette picture: indices `ids` (h, w) and (n, 3) RGB colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = np.asarray(ids, np.uint8)
    path.write_bytes(png(ids.shape[1], ids.shape[0], 3, ids.tolist(), np.asarray(palette, np.uint8).reshape(-1).tolist()))
    return path


def document(path, value):
    """A json file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def nifti(volume, datatype, offset=352, slope=0.0, inter=0.0, order="<", dim=None):
    """The bytes of a NIfTI-1 file of (z, y, x) values that are of the datatype already."""
    slices, height, width = volume.shape
    header = bytearray(offset)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, *(dim or (3, width, height, slices, 1, 1, 1, 1)))
    struct.pack_into(f"{order}2h", header, 70, datatype, volume.dtype.itemsize * 8)
    struct.pack_into(f"{order}3f", header, 108, offset, slope, inter)
    header[344:348] = b"n+1\0"
    return bytes(header) + volume.astype(volume.dtype.newbyteorder(order)).tobytes()


def square(x, y, width, height):
    """The polygon of a rectangle, flat as COCO has it."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def coco(annotations, height=3, width=4, categories=((1, "person"), (3, "car"))):
    """COCO's document of one picture, a.jpg."""
    return {
        "images": [{"id": 9, "file_name": "a.jpg", "height": height, "width": width}],
        "annotations": [{"image_id": 9, **a} for a in annotations],
        "categories": [{"id": i, "name": name} for i, name in categories],
    }


def labelme(shapes, **changes):
    """LabelMe's document of a.jpg, 3x4."""
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": "a.jpg",
        "imageHeight": 3,
        "imageWidth": 4,
        **changes,
    }


def png_base64(rows):
    """A grey or BGR picture as base64."""
    done, data = cv2.imencode(".png", np.asarray(rows, np.uint8))
    assert done
    return base64.b64encode(data.tobytes()).decode()


def cvat(body, doctype="", labels=("cat", "dog")):
    """CVAT's document of a.jpg, 3x4, with `body` as its shapes."""
    names = "".join(f"<label><name>{name}</name></label>" for name in labels)
    head = f'<?xml version="1.0" encoding="utf-8"?>{doctype}<annotations><version>1.1</version>'
    meta = f"<meta><task><name>holidays</name><labels>{names}</labels></task></meta>"
    return f'{head}{meta}<image id="0" name="a.jpg" width="4" height="3">{body}</image></annotations>'


def via(*regions):
    """VIA's records of a.jpg with (shape_attributes, region_attributes)."""
    return {
        "a.jpg123": {
            "filename": "a.jpg",
            "size": 123,
            "file_attributes": {},
            "regions": [{"shape_attributes": shape, "region_attributes": attributes} for shape, attributes in regions],
        }
    }
