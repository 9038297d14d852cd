"""The detections of a whole split."""

from itertools import islice

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from yolox_gssam.common.images import read_image
from yolox_gssam.common.letterbox import narrow_fault
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.detections import Detections
from yolox_gssam.inference.pipeline import map_in_threads
from yolox_gssam.inference.predictor import Predictor


def predict_split(predictor: Predictor, split: CocoSplit, batch_size: int, workers: int) -> dict[int, Detections]:
    """The objects on every image of a split, with a progress bar; `workers` threads read the images ahead.

    Nothing is found on an image so narrow that nothing of it is left at the input size; a warning names such images.

    Returns:
        image id -> `Detections` in the original image's pixels; images without objects are there too.

    Raises:
        UserError: an image cannot be read.
    """

    def read(image: LabelledImage) -> tuple[int, NDArray[np.uint8]]:
        return image.image_id, read_image(split.image_path(image))

    faults = {image.image_id: narrow_fault((image.height, image.width), predictor.test_size) for image in split.images}
    wide = [image for image in split.images if faults[image.image_id] is None]
    for image in split.images:
        if faults[image.image_id]:
            logger.warning(f"{split.image_path(image)}: nothing is found on it: {faults[image.image_id]}")
    detections = {image.image_id: Detections.empty() for image in split.images if faults[image.image_id]}
    with progress_bar(description="detect", unit="images", total=len(wide)) as bar:
        loaded = map_in_threads(read, wide, workers, 2 * batch_size)
        while batch := list(islice(loaded, batch_size)):
            image_ids, images = zip(*batch, strict=True)
            detections.update(zip(image_ids, predictor.predict(images), strict=True))
            bar.update(len(batch))
    return {image.image_id: detections[image.image_id] for image in split.images}
