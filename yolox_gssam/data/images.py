"""Image files nobody vouches for: the size is read from the header, and limits hold before a pixel is decoded."""

import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yolox_gssam.data.faults import one_line, printable
from yolox_gssam.errors import UserError

MAX_PIXELS = 2**27
"""Largest image that is decoded, 134 million pixels: 400 MB once decoded."""
MAX_SCANNED = 16 * MAX_PIXELS
"""Most pixels that are gone through in all: a JPEG can hold each of them a thousand times over; about ten are usual."""
MAX_BYTES = 2**29
"""Largest image file that is read."""
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")  # a short list: some of Pillow's other formats run programs
_ORIENTATION_TAG = 0x0112
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]", re.DOTALL)  # of a segment; a 0xFF of the pixels precedes 0x00
_SIDEWAYS = frozenset({5, 6, 7, 8})  # EXIF orientations that exchange width and height


def read_image(path: Path) -> NDArray[np.uint8]:
    """The image as (H, W, 3) BGR, turned upright as its EXIF orientation says.

    Raises:
        UserError: no such file, unreadable, truncated, or larger than `MAX_PIXELS`.
    """
    return decode_image(read_image_bytes(path), path)


def read_image_bytes(path: Path) -> bytes:
    """The encoded bytes of an image file, as they are.

    Raises:
        UserError: not a regular file, unreadable, or larger than `MAX_BYTES`.
    """
    try:
        if not path.is_file():
            raise UserError(f"{printable(path)}: no such image file")
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{printable(path)}: larger than {MAX_BYTES >> 20} MiB; images of that size are not read")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if isinstance(error, UserError):
            raise
        raise UserError(f"{printable(path)}: cannot be read: {one_line(error)}") from error


def image_size(data: bytes, name: str | Path) -> tuple[int, int]:
    """(width, height) of the encoded image when upright, from its header alone; `name` stands in the messages.

    Raises:
        UserError: not an image of a known format, larger than `MAX_PIXELS`, or a JPEG without an end.
    """
    return _header(data, name).size_wh


def decode_image(data: bytes, name: str | Path) -> NDArray[np.uint8]:
    """The encoded image as (H, W, 3) BGR, upright; `name` stands in the messages.

    Raises:
        UserError: as in `image_size`, or the pixels cannot be decoded.
    """
    header = _header(data, name)
    # Whether OpenCV turns other formats than JPEG depends on its version.
    flags = cv2.IMREAD_COLOR if header.is_jpeg else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise UserError(f"{printable(name)}: the image cannot be decoded") from error
    if image is None:
        raise UserError(f"{printable(name)}: the image is truncated or damaged and cannot be decoded")
    if image.shape[1::-1] != header.size_wh:
        raise UserError(f"{printable(name)}: its head and its pixels tell different sizes; save the image anew")
    return np.asarray(image, dtype=np.uint8)


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """A (H, W, 3) BGR image as JPEG bytes, `quality` from 1 to 100."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"an image of shape {image.shape} cannot be encoded as JPEG")
    return data.tobytes()


@dataclass(frozen=True)
class _Header:
    """What the head of an image file says, its size when upright."""

    size_wh: tuple[int, int]
    is_jpeg: bool


def _header(data: bytes, name: str | Path) -> _Header:
    """Reads the head of an image file; see `image_size`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubtful EXIF blocks and large sizes; both are judged here
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                width, height = image.size
                is_jpeg = image.format in ("JPEG", "MPO")  # MPO: a JPEG with further ones behind, as cameras write
                # Asked of a JPEG only: a PNG is decoded as a whole in search of it.
                sideways = is_jpeg and image.getexif().get(_ORIENTATION_TAG) in _SIDEWAYS
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
    return _Header((height, width) if sideways else (width, height), is_jpeg)


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
