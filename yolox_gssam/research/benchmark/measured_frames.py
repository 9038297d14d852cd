"""Real frames to measure with, decoded and in memory."""

from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import IMAGE_SUFFIXES, read_image
from yolox_gssam.data.coco_reader import load_split
from yolox_gssam.data.synthetic import render_scene
from yolox_gssam.inference.frames import find_images
from yolox_gssam.inference.video_io import VideoReader

DEFAULT_DATA = Path("datasets/svanstrom")
DRAWN_HW = (512, 640)
"""Of the drawn frames: the size of the Svanström clips."""


def load_frames(data: Path | None, count: int) -> tuple[list[NDArray[np.uint8]], str]:
    """At most `count` frames, BGR (H, W, 3), and a line that says what they are.

    Args:
        data: a data set (its test split), a folder of images, an image or a video; None: `DEFAULT_DATA` where there is
            one, otherwise pictures are drawn. Of images those are taken that are spread evenly, of a video the first.

    Raises:
        UserError: nothing there that can be read.
    """
    if data is None:
        if not DEFAULT_DATA.is_dir():
            drawn = [render_scene(0, index, DRAWN_HW)[0] for index in range(count)]
            return drawn, f"{count} drawn pictures of {DRAWN_HW[1]} x {DRAWN_HW[0]} pixels"
        data = DEFAULT_DATA
    if not data.exists():
        raise UserError(f"{data}: no such data set, folder of images or video")
    annotations = data / "annotations" / "test.json"
    if annotations.is_file():
        split = load_split(annotations, data / "images")
        paths = [split.image_path(image) for image in split.images]
        what = f"of the {len(paths)} test images of {data}"
    elif data.is_dir():
        paths = find_images(data, leave_out=data)
        what = f"of the {len(paths)} images in {data}"
    elif data.suffix.lower() in IMAGE_SUFFIXES:
        return [read_image(data)], f"the image {data}"
    else:
        with VideoReader(str(data)) as reader:
            images = [frame.image for frame in islice(reader.frames(), count)]
        if not images:
            raise UserError(f"{data}: no frame could be decoded")
        return images, f"the first {len(images)} frames of {data}"
    images = [read_image(path) for path in paths[:: -(-len(paths) // count)]]
    return images, f"{len(images)} {what}"
