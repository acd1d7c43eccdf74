"""Pictures of unknown origin: sizes from headers, and what is refused before it is decoded."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.picture_size import header_size
from edgeseg.train.pictures import PictureError, read_bytes, read_frame, read_plane, read_size
from tests.train.readers.published import palette_png, plane, png

FRAME = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)


def encoded(suffix, *options):
    done, data = cv2.imencode(suffix, FRAME, list(options))
    assert done
    return data.tobytes()


ENCODED = [
    (".png", ()),
    (".jpg", ()),
    (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    (".bmp", ()),
    (".tif", ()),
    (".webp", ()),
    (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101)),  # lossless
]


@pytest.mark.parametrize(("suffix", "options"), ENCODED)
def test_the_size_is_in_the_header(tmp_path, suffix, options):
    data = encoded(suffix, *options)
    assert header_size(data) == (3, 5)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    assert read_size(path) == read_frame(path).shape[:2] == (3, 5)


@pytest.mark.parametrize(("suffix", "options"), ENCODED)
def test_a_header_that_is_cut_off_is_none(suffix, options):
    data = encoded(suffix, *options)
    sizes = {header_size(data[:length]) for length in range(len(data))}
    assert sizes <= {None, (3, 5)}


def test_webp_with_more_than_a_picture():
    # RIFF, length, WEBP, VP8X, 10 bytes of which the last six are width - 1 and height - 1
    data = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + (4).to_bytes(3, "little") + (2).to_bytes(3, "little")
    assert header_size(data) == (3, 5)


def test_big_tiff():
    # II, 43, 8, 0, directory at 16: two entries of 20 bytes, width as SHORT and height as LONG
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
    assert header_size(head + struct.pack("<QHHQQHHQQ", 2, 256, 3, 1, 5, 257, 4, 1, 3)) == (3, 5)


MAGIC = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+\0\x08\0\0", b"RIFF\0\0\0\0WEBPVP8"]


@given(st.sampled_from(MAGIC), st.binary(max_size=64))
def test_whatever_follows_the_magic_number_there_is_a_size_or_none(magic, rest):
    size = header_size(magic + rest)
    assert size is None or (len(size) == 2 and min(size) >= 0)


def bomb(width, height, colour_type=0):
    return png(width, height, colour_type, [[0]])


REFUSED = [
    (b"", "is empty"),
    (b"no picture at all", "no PNG, JPEG"),
    (bomb(40_000, 25_000), "claims 25000x40000 pixels"),  # 10^9
    (bomb(2**31 - 1, 2**31 - 1, 2), "claims 2147483647x2147483647"),
    (bomb(0, 5), "claims 5x0"),
    (encoded(".jpg")[:-40], "cut off"),
    (encoded(".png")[:40], "cannot be decoded"),
    (encoded(".jpg").replace(b"\xff\xc0", b"\xff\xfe", 1), "no PNG, JPEG|cannot be decoded"),
]


@pytest.mark.parametrize(("data", "needle"), REFUSED)
def test_what_is_refused(tmp_path, data, needle):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for read in (read_frame, read_plane):
        with pytest.raises(PictureError, match=needle) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_too_large(tmp_path):
    with pytest.raises(PictureError, match="No such file"):
        read_bytes(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"12345" * 10**6)
    with pytest.raises(PictureError, match="has 4 MB; at most 1 MB"):
        read_bytes(tmp_path / "a", limit=1 << 20)


def test_planes(tmp_path):
    ids = [[0, 1, 2], [3, 200, 255]]
    assert read_plane(plane(tmp_path / "grey.png", ids)).tolist() == ids
    grey = [(i, i, i) for i in range(256)]
    assert read_plane(palette_png(tmp_path / "palette.png", ids, grey)).tolist() == ids
    red = [(i, 0, 0) for i in range(256)]
    with pytest.raises(PictureError, match="one channel"):
        read_plane(palette_png(tmp_path / "red.png", ids, red))
    assert cv2.imwrite(str(tmp_path / "deep.png"), np.array(ids, np.uint16) * 256)
    with pytest.raises(PictureError, match="uint16"):
        read_plane(tmp_path / "deep.png")
