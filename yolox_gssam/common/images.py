"""Image files nobody vouches for: the size is read from the header, and limits hold before a pixel is decoded."""

import io
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, features
from PIL.TiffImagePlugin import TiffImageFile

from yolox_gssam.common.bit_depth import ValueRange, to_eight_bits
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import one_line, printable

MAX_PIXELS = 2**27
"""Largest image that is decoded, 134 million pixels: 400 MB once decoded."""
MAX_SCANNED = 16 * MAX_PIXELS
"""Most pixels that are gone through in all: a JPEG can hold each of them a thousand times over; about ten are usual."""
MAX_BYTES = 2**29
"""Largest image file that is read."""
_AVIF_SUFFIXES = frozenset({".avif"})
_HAS_AVIF = features.check("avif") is True
"""Whether Pillow was built with it; its wheels have it from 11.3 on."""
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", *_AVIF_SUFFIXES}
) - (frozenset() if _HAS_AVIF else _AVIF_SUFFIXES)
"""Of image files that are read, in lower case."""
UNREAD_SUFFIXES = frozenset(
    {".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".jpx", ".pgm", ".ppm", ".pnm", ".exr", ".tga"}  # as saved
    | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"}  # of cameras
    | (frozenset() if _HAS_AVIF else _AVIF_SUFFIXES)
)
"""Of image files that are not; whoever looks for images tells of them."""

SHOWN_NAMES = 10
"""Of files that a message names."""

# A short list: some of Pillow's other formats run programs.
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", *(("AVIF",) if _HAS_AVIF else ()))
_BY_PILLOW = frozenset({"GIF", "AVIF"})  # OpenCV reads them only from some versions on
_TURNED = frozenset({"JPEG", "MPO", "AVIF"})  # whose orientation counts
_BITS_TAG = 258  # of a TIFF: bits of each channel
_ORIENTATION_TAG = 0x0112
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]", re.DOTALL)  # of a segment; a 0xFF of the pixels precedes 0x00
_SIDEWAYS = frozenset({5, 6, 7, 8})  # EXIF orientations that exchange width and height


def read_image(path: Path, value_range: ValueRange | None = None) -> NDArray[np.uint8]:
    """The image as (H, W, 3) BGR, turned upright as its EXIF orientation says; of an animation, its first.

    More than 8 bit are made 8 by `to_eight_bits`, with `value_range` where it is given.

    Raises:
        UserError: no such file, unreadable, truncated, or larger than `MAX_PIXELS`.
    """
    return decode_image(read_image_bytes(path), path, value_range)


def read_image_bytes(path: Path) -> bytes:
    """The encoded bytes of an image file, as they are.

    Raises:
        UserError: not a regular file, unreadable, or larger than `MAX_BYTES`.
    """
    try:
        if not path.is_file():
            raise UserError(f"{printable(path)}: {_missing(path)}")
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{printable(path)}: larger than {MAX_BYTES >> 20} MiB; images of that size are not read")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if isinstance(error, UserError):
            raise
        raise UserError(f"{printable(path)}: cannot be read: {one_line(error)}") from error


def _missing(path: Path) -> str:
    if not path.is_symlink():
        return "no such image file"
    target = printable(os.readlink(path))
    return f"a link to {target}, which is no file; fetch it (git annex get, dvc pull, or download the set again)"


def image_size(data: bytes, name: str | Path) -> tuple[int, int]:
    """(width, height) of the encoded image when upright, from its header alone; `name` stands in the messages.

    Raises:
        UserError: not an image of a known format, larger than `MAX_PIXELS`, or a JPEG without an end.
    """
    return _header(data, name).size_wh


def has_more_than_eight_bits(data: bytes, name: str | Path) -> bool:
    """Whether the encoded image, a PNG or TIFF, has channels of more than 8 bit; raises as `image_size` does."""
    return data.startswith((b"\x89PNG", b"II", b"MM")) and _header(data, name).is_deep


def decode_image(data: bytes, name: str | Path, value_range: ValueRange | None = None) -> NDArray[np.uint8]:
    """The encoded image as (H, W, 3) BGR, upright, in 8 bit; `name` stands in the messages. See `read_image`.

    Raises:
        UserError: as in `image_size`, or the pixels cannot be decoded.
    """
    header = _header(data, name)
    try:
        image = _pillow_pixels(data) if header.by_pillow else _opencv_pixels(data, header)
    except Exception as error:  # the decoders answer damage with errors of many kinds
        raise UserError(f"{printable(name)}: the image cannot be decoded: {one_line(error)}") from error
    if image is None:
        raise UserError(f"{printable(name)}: the image is truncated or damaged and cannot be decoded")
    if image.shape[1::-1] != header.size_wh:
        raise UserError(f"{printable(name)}: its head and its pixels tell different sizes; save the image anew")
    return to_eight_bits(image, value_range)


def _opencv_pixels(data: bytes, header: "_Header") -> NDArray[np.generic] | None:
    """The pixels (H, W, 3), BGR, as deep as they are; None where they cannot be decoded."""
    # Whether OpenCV turns other formats than JPEG depends on its version.
    flags = cv2.IMREAD_COLOR if header.is_jpeg else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    if header.is_deep:
        flags |= cv2.IMREAD_ANYDEPTH
    image: NDArray[np.generic] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return image


def _pillow_pixels(data: bytes) -> NDArray[np.generic]:
    """The pixels (H, W, 3), BGR, of what OpenCV may not read: 8 bit, or grey in 32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `_header`
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.mode in ("I", "F"):
                return np.repeat(np.asarray(image)[..., None], 3, axis=-1)
            upright = ImageOps.exif_transpose(image) if image.format in _TURNED else image
            return np.asarray(upright.convert("RGB"))[..., ::-1].copy()


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """A (H, W, 3) BGR image as JPEG bytes, `quality` from 1 to 100."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"an image of shape {image.shape} cannot be encoded as JPEG")
    return data.tobytes()


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """A (H, W, 3) BGR image as PNG bytes, grey where its channels are equal."""
    is_grey = bool((image[..., :1] == image[..., 1:]).all())
    done, data = cv2.imencode(".png", image[..., 0] if is_grey else image)
    if not done:
        raise ValueError(f"an image of shape {image.shape} cannot be encoded as PNG")
    return data.tobytes()


def unread_images(paths: Sequence[Path]) -> str:
    """What is said of image files of kinds that are not read; at least one."""
    names = ", ".join(printable(path) for path in paths[:SHOWN_NAMES])
    more = f" and {len(paths) - SHOWN_NAMES} more" if len(paths) > SHOWN_NAMES else ""
    return f"{len(paths)} images are of kinds that are not read; left out: {names}{more}; save them as JPEG or PNG"


@dataclass(frozen=True)
class _Header:
    """What the head of an image file says, its size when upright.

    Attributes:
        is_deep: has channels of more than 8 bit.
        by_pillow: to be decoded by Pillow, not by OpenCV.
    """

    size_wh: tuple[int, int]
    is_jpeg: bool
    is_deep: bool
    by_pillow: bool


def _header(data: bytes, name: str | Path) -> _Header:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubtful EXIF blocks and large sizes; both are judged here
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                width, height = image.size
                is_jpeg = image.format in ("JPEG", "MPO")  # MPO: a JPEG with further ones behind, as cameras write
                # Asked of few formats only: a PNG is decoded as a whole in search of it.
                turned = image.format in _TURNED
                sideways = turned and image.getexif().get(_ORIENTATION_TAG) in _SIDEWAYS
                bits = _bits(image, data)
                by_pillow = image.format in _BY_PILLOW or (bits > 16 and image.mode in ("I", "F"))
    except Image.DecompressionBombError as error:
        raise UserError(_too_large(name)) from error
    except Exception as error:  # the parsers of these formats answer damage with errors of many kinds
        raise UserError(f"{printable(name)}: not a readable image ({', '.join(_FORMATS)} are)") from error
    if width * height > MAX_PIXELS:
        raise UserError(_too_large(name))
    scans = _count_scans(data) if is_jpeg else 1
    if not scans:
        raise UserError(f"{printable(name)}: truncated: the JPEG has no end marker; copy it again or leave it out")
    if scans * width * height > MAX_SCANNED:
        raise UserError(f"{printable(name)}: its {width} x {height} pixels come in {scans} scans; save the image anew")
    return _Header((height, width) if sideways else (width, height), is_jpeg, bits > 8, by_pillow)


def _bits(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG":  # whose IHDR chunk comes first; Pillow itself makes 8 bit of colour
        return data[24]
    if isinstance(image, TiffImageFile):
        bits = image.tag_v2.get(_BITS_TAG, 1)
        return int(max(bits) if isinstance(bits, tuple) else bits)
    return 8


def _count_scans(data: bytes) -> int:
    """The scans of a JPEG up to its end marker; 0 where it has none: one before the first scan may be a thumbnail's.

    Older OpenCV decodes a JPEG that breaks off without a word and fills the rest with grey.
    """
    scans, position = 0, 2
    while found := _MARKER.search(data, position):
        marker, position = data[found.start() + 1], found.end()
        if marker == 0xD9 and scans:
            return scans
        if marker != 0xD9:
            scans += marker == 0xDA
            position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return 0


def _too_large(name: str | Path) -> str:
    return f"{printable(name)}: claims more than {MAX_PIXELS:,} pixels; images of that size are not decoded"
