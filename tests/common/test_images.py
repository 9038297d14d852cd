import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import MAX_PIXELS, decode_image, encode_jpeg, image_size, read_image


def noise(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(suffix: str) -> bytes:
    if suffix in (".gif", ".avif"):
        stream = io.BytesIO()
        Image.fromarray(noise()).save(stream, suffix[1:])
        return stream.getvalue()
    return cv2.imencode(suffix, noise())[1].tobytes()


def png_that_claims(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 10) + b"IDAT"


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tiff"])
def test_reads_what_opencv_wrote(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    path.write_bytes(encoded(suffix))
    image = read_image(path)
    assert image.shape == (40, 60, 3)
    assert image.dtype == np.uint8
    if suffix != ".webp":  # lossy
        np.testing.assert_array_equal(image, noise())


def test_jpeg_is_read_as_opencv_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(encode_jpeg(noise(), 90))
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path)))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".gif", ".avif"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_truncated_file_is_refused(suffix: str, share: float) -> None:
    data = encoded(suffix)
    with pytest.raises(UserError, match=r"strange\.name"):
        decode_image(data[: int(len(data) * share)], "strange.name")


def test_jpeg_end_marker_of_a_thumbnail_does_not_count() -> None:
    whole = encode_jpeg(noise(), 90)
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + 6) + b"ab\xff\xd9cd"
    with_thumbnail = whole[:2] + thumbnail + whole[2:]
    assert image_size(with_thumbnail, "a.jpg") == (60, 40)
    with pytest.raises(UserError, match=r"a\.jpg: truncated"):
        image_size(with_thumbnail[:-20], "a.jpg")


def test_a_jpeg_of_many_scans_is_not_decoded() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (2048, 2048)).save(stream, "JPEG", progressive=True)
    whole = stream.getvalue()
    assert decode_image(whole, "a.jpg").shape == (2048, 2048, 3)
    last_scan = whole[whole.rindex(b"\xff\xda") : -2]
    with pytest.raises(UserError, match=r"a\.jpg: its 2048 x 2048 pixels come in 1010 scans"):
        decode_image(whole[:-2] + 1000 * last_scan + whole[-2:], "a.jpg")


def test_bytes_after_the_end_of_a_jpeg_are_no_fault() -> None:
    assert image_size(encode_jpeg(noise(), 90) + b"trailer of a phone camera", "a.jpg") == (60, 40)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_and_pixels_agree_for_each_exif_orientation(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise()).save(path, exif=exif)
    width, height = image_size(path.read_bytes(), path)
    assert (width, height) == ((60, 40) if orientation <= 4 else (40, 60))
    assert read_image(path).shape == (height, width, 3)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_orientation_counts_in_jpeg_only(suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(noise()).save(stream, suffix, exif=exif)
    assert image_size(stream.getvalue(), "a") == (60, 40)
    assert decode_image(stream.getvalue(), "a").shape == (40, 60, 3)


@pytest.mark.parametrize("suffix", ["gif", "avif"])
def test_reads_what_pillow_wrote(suffix: str) -> None:
    """Smooth colours, which both formats keep nearly as they are; a red half and a blue one."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :30, 2], picture[:, 30:, 0] = 200, 100
    stream = io.BytesIO()
    Image.fromarray(picture[..., ::-1]).save(stream, suffix)
    assert image_size(stream.getvalue(), "a") == (60, 40)
    image = decode_image(stream.getvalue(), "a")
    inside = np.r_[2:26, 34:58]  # away from the seam, where AVIF keeps less of the colours
    assert np.abs(image.astype(int) - picture)[:, inside].max() < 8


def test_of_an_animation_the_first_image_counts() -> None:
    stream = io.BytesIO()
    images = [Image.new("RGB", (60, 40), colour) for colour in ("red", "blue", "green")]
    images[0].save(stream, "gif", save_all=True, append_images=images[1:])
    np.testing.assert_array_equal(decode_image(stream.getvalue(), "a"), np.full((40, 60, 3), (0, 0, 255)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_avif_stands_upright(orientation: int) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :30] = 255
    stream, jpeg = io.BytesIO(), io.BytesIO()
    for target, kind in ((stream, "avif"), (jpeg, "jpeg")):
        exif = Image.Exif()  # anew: Pillow takes the orientation out of it
        exif[0x0112] = orientation
        Image.fromarray(picture).save(target, kind, exif=exif)
    image, expected = decode_image(stream.getvalue(), "a"), decode_image(jpeg.getvalue(), "a")
    assert image_size(stream.getvalue(), "a") == image.shape[1::-1]
    assert np.abs(image.astype(int) - expected).mean() < 2


def test_size_and_pixels_of_a_turned_tiff_agree() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(noise()).save(stream, "tiff", exif=exif)
    width, height = image_size(stream.getvalue(), "a")
    assert decode_image(stream.getvalue(), "a").shape == (height, width, 3)


def test_several_images_in_one_jpeg_as_cameras_write() -> None:
    stream = io.BytesIO()
    images = [Image.fromarray(noise()), Image.fromarray(noise(10, 10))]
    images[0].save(stream, "MPO", save_all=True, append_images=images[1:])
    assert image_size(stream.getvalue(), "a.jpg") == (60, 40)
    assert decode_image(stream.getvalue(), "a.jpg").shape == (40, 60, 3)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not an image at all", id="text"),
        pytest.param(b"\xff\xd8\xff", id="start of a JPEG"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", id="PostScript, which would run a program"),
    ],
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="x: not a readable image"):
        image_size(data, "x")


@pytest.mark.parametrize(
    ("width", "height"),
    [pytest.param(100_000, 100_000, id="bomb"), pytest.param(16_384, MAX_PIXELS // 16_384 + 1, id="a row too many")],
)
def test_an_image_that_claims_too_many_pixels_is_not_decoded(width: int, height: int) -> None:
    with pytest.raises(UserError, match="claims more than"):
        decode_image(png_that_claims(width, height), "bomb.png")


@pytest.mark.parametrize("name", ["missing.jpg", ".", "a\0b.jpg"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"no such image file|cannot be read"):
        read_image(tmp_path / name)
