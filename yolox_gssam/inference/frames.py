"""Frames: images with the place they come from, and the frames of a file or a folder of images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.bit_depth import ValueRange
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import (
    IMAGE_SUFFIXES,
    UNREAD_SUFFIXES,
    decode_image,
    has_more_than_eight_bits,
    read_image_bytes,
    unread_images,
)
from yolox_gssam.common.letterbox import narrow_fault


@dataclass(frozen=True, eq=False)
class Frame:
    """One image on its way through inference and drawing.

    Attributes:
        image: BGR (H, W, 3).
        source: the image's name below its folder, or the video's name.
        index: number of the frame in its video, from 0, those that could not be decoded counted; 0 for an image.
        time_s: seconds from the start of the video; None for an image.
    """

    image: NDArray[np.uint8]
    source: str
    index: int = 0
    time_s: float | None = None


def find_images(
    path: Path, leave_out: Path | None = None, on_failure: Callable[[str], None] = lambda line: None
) -> list[Path]:
    """The image file `path`, or all images in the folder `path` and the folders in it, sorted.

    Images in `leave_out`, a folder inside `path` where results go, are not taken for input.

    Args:
        on_failure: takes a line that names the images of kinds that are not read, if there are any.

    Raises:
        UserError: no such file or folder, or a folder without images.
    """
    if not path.is_dir():
        if not path.exists():
            raise UserError(f"{path}: no such image or folder")
        return [path]
    suffixes = IMAGE_SUFFIXES | UNREAD_SUFFIXES
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
    results = None if leave_out is None else leave_out.resolve()
    if results is not None and path.resolve() in results.parents:
        found = [file for file in found if results not in file.resolve().parents]
    images = [file for file in found if file.suffix.lower() in IMAGE_SUFFIXES]
    unread = [file.relative_to(path) for file in found if file.suffix.lower() in UNREAD_SUFFIXES]
    said = f"{path}: {unread_images(unread)}" if unread else ""
    if not images:
        known = f"known are {', '.join(sorted(IMAGE_SUFFIXES))}"
        raise UserError(said or f"{path}: no images in this folder; {known}")
    if said:
        on_failure(said)
    return images


def image_frames(
    paths: Sequence[Path],
    root: Path,
    on_failure: Callable[[str], None],
    value_range: ValueRange | None = None,
    deep: list[str] | None = None,
    input_size_hw: tuple[int, int] | None = None,
) -> Iterator[Frame]:
    """Reads images one by one; one that cannot be used is told to `on_failure`, and the rest go on.

    Args:
        root: the folder that the frames' `source` names start from.
        on_failure: takes one line with the file and what is wrong.
        value_range: of images of more than 8 bit, see `read_image`.
        deep: gets the names of those images.
        input_size_hw: of the network: images of which nothing is left in it are left out; None: none is.
    """
    for path in paths:
        try:
            data = read_image_bytes(path)
            image = decode_image(data, path, value_range)
            if deep is not None and has_more_than_eight_bits(data, path):
                deep.append(path.name)
        except UserError as error:
            on_failure(str(error))
            continue
        problem = None if input_size_hw is None else narrow_fault(image.shape[:2], input_size_hw)
        if problem is not None:
            on_failure(f"{path}: left out: {problem}")
            continue
        yield Frame(image, path.relative_to(root).as_posix())
