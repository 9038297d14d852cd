"""Image files of any content: pixels of the size that their head says, or one line."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from fuzzing import attempt, damaged, fuzz, new_folder, spoil
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from yolox_gssam.common.images import decode_image, image_size, read_image


def encoded(kind: str, height: int = 24, width: int = 36, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    exif = Image.Exif()
    if kind != "TIFF":  # one that is turned is refused where an older OpenCV turns it whatever it is told
        exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, exif=exif, **options)
    return stream.getvalue()


def encoded_float() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(DEEP.astype(np.float32)).save(stream, "TIFF")
    return stream.getvalue()


DEEP = np.random.default_rng(0).integers(7000, 7500, (24, 36)).astype(np.uint16)
FILES = {
    "jpeg": encoded("JPEG"),
    "progressive jpeg": encoded("JPEG", progressive=True),
    "png": encoded("PNG"),
    "bmp": encoded("BMP"),
    "webp": encoded("WEBP"),
    "lossless webp": encoded("WEBP", lossless=True),
    "tiff": encoded("TIFF"),
    "packed tiff": encoded("TIFF", compression="tiff_lzw"),
    "gif": encoded("GIF"),
    "avif": encoded("AVIF"),
    "deep png": cv2.imencode(".png", DEEP)[1].tobytes(),
    "deep tiff": cv2.imencode(".tiff", DEEP)[1].tobytes(),
    "float tiff": encoded_float(),
    "deflated tiff": encoded("TIFF", compression="tiff_adobe_deflate"),
}
SIDES = st.sampled_from([0, 1, 37, 255, 16_383, 40_000, 65_535, 100_000, 2**24, 2**31 - 1, 2**31, 2**32 - 1])


def check_image(data: bytes) -> None:
    size = attempt(lambda: image_size(data, "a\nb.jpg"))
    image = attempt(lambda: decode_image(data, "a\nb.jpg"))
    if image is not None:
        assert image.dtype == np.uint8
        assert size is not None
        assert image.shape == (size[1], size[0], 3)


@pytest.mark.parametrize("kind", FILES)
def test_damaged_images(kind: str) -> None:
    assert attempt(lambda: decode_image(FILES[kind], "a")) is not None

    @fuzz(120)
    @given(data=damaged(FILES[kind]))
    def check(data: bytes) -> None:
        check_image(data)

    check()


@fuzz(100)
@given(width=SIDES, height=SIDES, kind=st.sampled_from(["png", "bmp", "jpeg", "tiff"]))
def test_images_that_claim_any_size(width: int, height: int, kind: str) -> None:
    data = bytearray(FILES[kind])
    if kind == "png":
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "bmp":
        data[18:26] = struct.pack("<II", width, height)
    elif kind == "jpeg":
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    else:
        for tag, value in ((256, width), (257, height)):
            entry = next(at for at in range(len(data) - 12) if data[at : at + 2] == struct.pack("<H", tag))
            data[entry : entry + 12] = struct.pack("<HHII", tag, 4, 1, value)
    check_image(bytes(data))


@fuzz(60)
@given(
    data=st.binary(max_size=60),
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF"]),
)
def test_junk(data: bytes, start: bytes) -> None:
    check_image(start + data)


@fuzz(30)
@given(data=st.data())
def test_links_and_pipes(tmp_path: Path, data: st.DataObject) -> None:
    folder = new_folder(tmp_path / "set")
    path = folder / "a.jpg"
    path.write_bytes(FILES["jpeg"])
    spoil(data, folder)
    attempt(lambda: read_image(path))
