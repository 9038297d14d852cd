"""Text on images, in any alphabet that the font has (OpenCV's own letters are ASCII only).

The font is matplotlib's DejaVu where that is installed, as for training, else Pillow's own, which is Latin only.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]  # blue, green, red, 0 to 255


def text_size(text: str, font_size: int) -> tuple[int, int]:
    """Width and height of `text` in pixels. The height is the same for every text of this font size."""
    height, width = _text_mask(text, font_size).shape
    return width, height


def put_text(image: NDArray[np.uint8], text: str, left: int, top: int, font_size: int, colour: Colour) -> None:
    """Draws one line of text into `image` (BGR), in place; what lies beyond the image is cut off.

    Letters that the font lacks show as boxes; line breaks and control characters show as spaces.
    """
    mask = _text_mask(text, font_size)
    height, width = image.shape[:2]
    mask = mask[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
    top, left = max(0, top), max(0, left)
    region = image[top : top + mask.shape[0], left : left + mask.shape[1]]
    cover = mask[..., None].astype(np.float32) / 255
    region[:] = np.rint(region * (1 - cover) + np.array(colour, np.float32) * cover).astype(np.uint8)


@lru_cache(maxsize=2048)
def _text_mask(text: str, font_size: int) -> NDArray[np.uint8]:
    """How much of each pixel the letters cover, (height, width), 0 to 255; kept, since labels come again and again."""
    font = _font(font_size)
    ascent, descent = font.getmetrics()
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    canvas = Image.new("L", (max(1, round(font.getlength(printable))), ascent + descent))
    ImageDraw.Draw(canvas).text((0, 0), printable, fill=255, font=font)
    return np.asarray(canvas)


@lru_cache(maxsize=16)
def _font(font_size: int) -> ImageFont.FreeTypeFont:
    matplotlib = find_spec("matplotlib")  # found, not imported, which would take half a second
    if matplotlib is not None and matplotlib.origin is not None:
        path = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), font_size)
    font = ImageFont.load_default(font_size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels are built with FreeType
    return font
