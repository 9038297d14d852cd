"""From images to boxes: letterbox, network, decoding, NMS, back to the original image's pixels."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from yolox.models import YOLOX

from yolox_gssam.data.coco import CocoImage, CocoSplit, read_image
from yolox_gssam.detections import Detections
from yolox_gssam.device import autocast, half_dtype
from yolox_gssam.inference.decode import decode_outputs
from yolox_gssam.inference.letterbox import letterbox, letterbox_ratio
from yolox_gssam.inference.nms import suppress
from yolox_gssam.progress import progress_bar

T = TypeVar("T")
R = TypeVar("R")


class Predictor:
    """A trained detector, ready for images.

    `predict` is `preprocess`, `network` and `postprocess` in a row; they are public so that each can be timed.
    The boxes are those of YOLOX's own demo (`class_agnostic=True`) or evaluator (`class_agnostic=False`).

    Args:
        model: YOLOX with its weights. It is moved to `device` and put into evaluation mode.
        class_names: one for each of the model's classes, in its order.
        test_size: height and width of the network's input, in pixels, multiples of 32.
        score_threshold: objects with a lower score (objectness times class probability) are dropped.
        nms_threshold: of two boxes with a greater IoU, the one with the lower score is dropped.
        device: where the network runs.
        half: mixed precision by autocast, float16 or on the CPU bfloat16. Weights, decoding and NMS stay in float32.
        class_agnostic: NMS across the classes: one object, one box. Otherwise each class on its own.

    Raises:
        ValueError: the model has another number of classes than there are names.
    """

    def __init__(
        self,
        model: YOLOX,
        class_names: Sequence[str],
        test_size: tuple[int, int],
        score_threshold: float,
        nms_threshold: float,
        device: torch.device | str,
        half: bool = False,
        class_agnostic: bool = False,
    ) -> None:
        if model.head.num_classes != len(class_names):
            raise ValueError(f"the model has {model.head.num_classes} classes, but {len(class_names)} names were given")
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.class_names = tuple(class_names)
        self.test_size = test_size
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.half = half
        self.class_agnostic = class_agnostic

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """The objects on each image, best score first.

        Args:
            images: BGR (H, W, 3) each; sizes may differ.

        Returns:
            One `Detections` an image, in that image's pixels; a box may reach beyond the image, as in YOLOX.
        """
        if not images:
            return []
        sizes_hw = [(image.shape[0], image.shape[1]) for image in images]
        return self.postprocess(self.network(self.preprocess(images)), sizes_hw)

    def preprocess(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """The letterboxed batch (B, 3, h, w) on the device: BGR, float32, 0 to 255, padded with 114.

        Raises:
            UserError: an image so narrow that nothing of it is left at this input size.
        """
        return torch.from_numpy(letterbox(images, self.test_size)).to(self.device)

    @torch.inference_mode()
    def network(self, batch: Tensor) -> Tensor:
        """The decoded outputs (B, A, 5 + classes), float32: cx, cy, w, h in the input's pixels, objectness, classes."""
        head = self.model.head
        decodes, head.decode_in_inference = head.decode_in_inference, False
        try:
            with autocast(self.device, half_dtype(self.device) if self.half else None):
                outputs = self.model(batch)
        finally:
            head.decode_in_inference = decodes
        return decode_outputs(outputs, head.hw, head.strides)

    @torch.inference_mode()
    def postprocess(self, outputs: Tensor, sizes_hw: Sequence[tuple[int, int]]) -> list[Detections]:
        """Thresholds, NMS, and boxes back in the original images' pixels.

        Args:
            outputs: (B, A, 5 + classes) as `network` returns them.
            sizes_hw: height and width of the B original images.
        """
        rows_by_image = suppress(outputs, self.score_threshold, self.nms_threshold, self.class_agnostic)
        return [
            _to_detections(rows, letterbox_ratio(size_hw, self.test_size))
            for rows, size_hw in zip(rows_by_image, sizes_hw, strict=True)
        ]

    def synchronize(self) -> None:
        """Waits until the device has done all it was given, so that a time taken now is right."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


def predict_split(predictor: Predictor, split: CocoSplit, batch_size: int, workers: int) -> dict[int, Detections]:
    """The objects on every image of a split, with a progress bar; `workers` threads read the images ahead.

    Returns:
        image id -> `Detections` in the original image's pixels; images without objects are there too.

    Raises:
        UserError: an image cannot be read.
    """

    def read(image: CocoImage) -> tuple[int, NDArray[np.uint8]]:
        return image.image_id, read_image(split.image_path(image))

    detections: dict[int, Detections] = {}
    with progress_bar(description="detect", unit="images", total=len(split.images)) as bar:
        loaded = _map_ahead(read, split.images, workers, 2 * batch_size)
        while batch := list(islice(loaded, batch_size)):
            image_ids, images = zip(*batch, strict=True)
            detections.update(zip(image_ids, predictor.predict(images), strict=True))
            bar.update(len(batch))
    return detections


def _map_ahead(function: Callable[[T], R], items: Iterable[T], workers: int, ahead: int) -> Iterator[R]:
    """`map` by threads, in order, with at most `ahead` results waiting, so that memory stays bounded."""
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # After an error nobody waits for the rest.
            for future in pending:
                future.cancel()


def _to_detections(rows: Tensor, ratio: float) -> Detections:
    """(n, 7) rows: x1, y1, x2, y2 in the input's pixels, objectness, class score, class."""
    # A network that diverged can give a box of infinite size, which says nothing.
    rows = rows[torch.isfinite(rows).all(dim=1)].cpu()
    scores = (rows[:, 4] * rows[:, 5]).numpy()
    return Detections((rows[:, :4] / ratio).numpy(), scores, rows[:, 6].numpy().astype(np.int64))
