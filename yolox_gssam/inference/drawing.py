"""Detections drawn on an image so that a drone of a dozen pixels is found at a glance and still seen itself.

The box runs around the object with a gap, never over it. The label stands beside the box, inside the image, and where
there is room clear of every object and every other label.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.detections import Detections
from yolox_gssam.inference.lettering import Colour, put_text, text_size

# Okabe and Ito's set without its black: told apart with every kind of colour blindness. The blues come last: sky.
_PALETTE_RGB = (
    (240, 228, 66),  # yellow
    (213, 94, 0),  # vermillion
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (230, 159, 0),  # orange
    (0, 114, 178),  # blue
    (86, 180, 233),  # sky blue
)
_BLACK: Colour = (0, 0, 0)

Rectangle = tuple[int, int, int, int]  # left, top, right, bottom in pixels, right and bottom exclusive


@dataclass(frozen=True)
class Style:
    """Sizes in pixels of the image drawn on."""

    line_width: int
    gap: int
    font_size: int

    @classmethod
    def for_image(cls, size_hw: tuple[int, int]) -> "Style":
        """Sizes that look alike when images of different sizes are shown equally large."""
        side = min(size_hw)
        return cls(
            line_width=max(1, round(side / 300)), gap=max(2, round(side / 170)), font_size=max(11, round(side / 40))
        )


def class_colour(label: int) -> Colour:
    """The colour of a class. Seven differ; further classes share them and are told apart by their names."""
    red, green, blue = _PALETTE_RGB[label % len(_PALETTE_RGB)]
    return blue, green, red


def draw_detections(image: NDArray[np.uint8], detections: Detections, class_names: Sequence[str]) -> NDArray[np.uint8]:
    """A copy of `image` (BGR) with a box, the class name and the score in percent for each detection.

    Boxes are clipped to the image here; those wholly outside are left out. A label beyond `class_names` is shown as
    its number.
    """
    canvas = image.copy()
    size_hw = (image.shape[0], image.shape[1])
    style = Style.for_image(size_hw)
    visible = [
        (frame, int(label), float(score))
        for box, label, score in zip(detections.boxes_xyxy, detections.labels, detections.scores, strict=True)
        if (frame := frame_around(box, size_hw, style)) is not None
    ]
    for frame, label, _ in visible:
        _draw_frame(canvas, frame, class_colour(label), style)
    # Every frame, then every label once it has its place.
    taken = np.zeros((2 * len(visible), 4), np.int64)
    taken[: len(visible)] = np.array([frame for frame, _, _ in visible]).reshape(-1, 4)
    for count, (frame, label, score) in enumerate(visible, start=len(visible)):
        name = class_names[label] if label < len(class_names) else str(label)
        text = fit_text(f"{name} {score:.0%}", size_hw[1], style.font_size)
        place = place_label(frame, _label_size(text, style), taken[:count], size_hw, style)
        _draw_label(canvas, text, place, class_colour(label), style)
        taken[count] = place
    return canvas


def frame_around(box_xyxy: NDArray[np.float32], size_hw: tuple[int, int], style: Style) -> Rectangle | None:
    """The outer edge of the frame drawn around a box, kept inside the image; None where no pixel of the box is."""
    height, width = size_hw
    left, top, right, bottom = (float(value) for value in box_xyxy)
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        return None
    reach = style.gap + _frame_thickness(style)
    return (
        max(0, int(np.floor(left)) - reach),
        max(0, int(np.floor(top)) - reach),
        min(width, int(np.ceil(right)) + reach),
        min(height, int(np.ceil(bottom)) + reach),
    )


def place_label(
    frame: Rectangle, label_size: tuple[int, int], taken: NDArray[np.int64], size_hw: tuple[int, int], style: Style
) -> Rectangle:
    """Where a label of `label_size` (width, height) goes: beside the frame, inside the image, off what is `taken`.

    `taken` is (n, 4), rectangles. Places further away are used only when all near ones are taken; where none is free,
    the least covered one is used.
    """
    places = _places_around(frame, label_size, style)
    room = np.array([size_hw[1] - label_size[0], size_hw[0] - label_size[1]])
    left_top = np.clip(places, 0, np.maximum(room, 0))[:, None]
    shared = np.minimum(left_top + label_size, taken[:, 2:]) - np.maximum(left_top, taken[:, :2])
    covered = shared.clip(min=0).prod(axis=2).sum(axis=1)
    left, top = (int(value) for value in left_top[covered.argmin(), 0])
    return left, top, min(size_hw[1], left + label_size[0]), min(size_hw[0], top + label_size[1])


def fit_text(text: str, width: int, font_size: int) -> str:
    """`text`, shortened in the middle where it would not fit into `width` pixels."""
    short, keep = text, len(text)
    while keep > 6 and text_size(short, font_size)[0] + font_size > width:
        keep -= 1
        short = f"{text[: keep - 5]}…{text[-5:]}"
    return short


def _frame_thickness(style: Style) -> int:
    return style.line_width + 2  # a dark line on either side: the colour is seen before sky, cloud and trees alike


def _draw_frame(canvas: NDArray[np.uint8], frame: Rectangle, colour: Colour, style: Style) -> None:
    for inset, thickness, line_colour in ((0, _frame_thickness(style), _BLACK), (1, style.line_width, colour)):
        left, top, right, bottom = frame[0] + inset, frame[1] + inset, frame[2] - inset, frame[3] - inset
        canvas[top : top + thickness, left:right] = line_colour
        canvas[max(0, bottom - thickness) : bottom, left:right] = line_colour
        canvas[top:bottom, left : left + thickness] = line_colour
        canvas[top:bottom, max(0, right - thickness) : right] = line_colour


def _label_size(text: str, style: Style) -> tuple[int, int]:
    width, height = text_size(text, style.font_size)
    return width + 2 * _label_margin(style), height + 2


def _label_margin(style: Style) -> int:
    return max(3, style.font_size // 4)


def _draw_label(canvas: NDArray[np.uint8], text: str, place: Rectangle, colour: Colour, style: Style) -> None:
    left, top, right, bottom = place
    canvas[top:bottom, left:right] = _BLACK
    canvas[top + 1 : bottom - 1, left + 1 : right - 1] = colour
    put_text(canvas, text, left + _label_margin(style), top + 1, style.font_size, _letters_on(colour))


def _letters_on(colour: Colour) -> Colour:
    """Black or white, whichever is read better on `colour`."""
    blue, green, red = colour
    return _BLACK if 0.114 * blue + 0.587 * green + 0.299 * red > 130 else (255, 255, 255)


def _places_around(frame: Rectangle, label_size: tuple[int, int], style: Style) -> NDArray[np.int64]:
    """(n, 2) left and top of a label, best first: at touching distance, then one and two label heights further out."""
    left, top, right, bottom = frame
    width, height = label_size
    places = []
    for ring in range(3):
        away = style.gap + ring * (height + style.gap)
        above, below, before, behind = top - away - height, bottom + away, left - away - width, right + away
        places += [(left, above), (left, below), (behind, top), (before, top)]
        places += [(right - width, above), (right - width, below), (behind, bottom - height), (before, bottom - height)]
        places += [(behind, above), (behind, below), (before, above), (before, below)]
    return np.array(places)
