"""From images to boxes: letterbox, network, NMS, back to the original image's pixels."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from torch import Tensor

from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.coco import CocoSplit, read_image
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.detections import Detections
from yolox_gssam.inference.backends.base import Backend
from yolox_gssam.inference.letterbox import letterbox, letterbox_ratio, narrow_fault
from yolox_gssam.inference.nms import choose_detections
from yolox_gssam.inference.pipeline import map_in_threads


class Predictor:
    """A trained detector, ready for images.

    `predict` is `preprocess`, `network` and `postprocess` in a row; they are public so that each can be timed.
    The boxes are those of YOLOX's own demo (`class_agnostic=True`) or evaluator (`class_agnostic=False`), up
    to rounding, whatever the backend.

    Args:
        backend: runs the network, see `yolox_gssam.inference.backends`.
        class_names: one for each of the network's classes, in its order.
        test_size: height and width of the network's input, in pixels, multiples of 32.
        score_threshold: objects with a lower score (objectness times class probability) are dropped.
        nms_threshold: of two boxes with a greater IoU, the one with the lower score is dropped.
        class_agnostic: NMS across the classes: one object, one box. Otherwise each class on its own.
        tight: leave out the grey beside the images, see `letterbox`; the backend must take inputs of any size.
    """

    def __init__(
        self,
        backend: Backend,
        class_names: Sequence[str],
        test_size: tuple[int, int],
        score_threshold: float,
        nms_threshold: float,
        *,
        class_agnostic: bool = False,
        tight: bool = False,
    ) -> None:
        self.backend = backend
        self.class_names = tuple(class_names)
        self.test_size = test_size
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.class_agnostic = class_agnostic
        self.tight = tight

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """The objects on each image, best score first.

        Args:
            images: BGR (H, W, 3) each; sizes may differ.

        Returns:
            One `Detections` an image, in that image's pixels; a box may reach beyond the image, as in YOLOX.

        Raises:
            UserError: an image so narrow that nothing of it is left at this input size.
        """
        if not images:
            return []
        sizes_hw = [(image.shape[0], image.shape[1]) for image in images]
        return self.postprocess(self.network(self.preprocess(images)), sizes_hw)

    def preprocess(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """The letterboxed batch (B, h, w, 3), BGR; see `letterbox`."""
        return letterbox(images, self.test_size, self.tight)

    def network(self, batch: NDArray[np.uint8]) -> Tensor:
        """The candidates (n, 6 + classes) of a batch (B, h, w, 3); see `yolox_gssam.models.inference`."""
        return self.backend.candidates(batch, self.score_threshold)

    def postprocess(self, candidates: Tensor, sizes_hw: Sequence[tuple[int, int]]) -> list[Detections]:
        """Thresholds, NMS, and boxes back in the original images' pixels.

        Args:
            candidates: (n, 6 + classes) as `network` returns them.
            sizes_hw: height and width of the B original images.
        """
        ratios = [letterbox_ratio(size_hw, self.test_size) for size_hw in sizes_hw]
        return choose_detections(candidates, ratios, self.score_threshold, self.nms_threshold, self.class_agnostic)

    def synchronize(self) -> None:
        """Waits until the device has done all it was given, so that a time taken now is right."""
        self.backend.synchronize()


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
