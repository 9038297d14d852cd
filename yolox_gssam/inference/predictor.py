"""From images to boxes: letterbox, network, NMS, back to the original image's pixels."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.letterbox import letterbox, letterbox_ratio
from yolox_gssam.detections import Detections
from yolox_gssam.inference.backends.base import Backend
from yolox_gssam.inference.nms import choose_detections
from yolox_gssam.inference.tiles import Tiling, predict_tiled


@dataclass(eq=False)
class Predictor:
    """A trained detector, ready for images.

    Without tiles, `predict` is `preprocess`, `network` and `postprocess` in a row; they are public so that each can be
    timed.
    Without `votes` the boxes are those of YOLOX's own demo (`class_agnostic=True`) or evaluator
    (`class_agnostic=False`), up to rounding, whatever the backend.

    Args:
        backend: runs the network, see `yolox_gssam.inference.backends`.
        class_names: one for each of the network's classes, in its order.
        test_size: height and width of the network's input, in pixels, multiples of 32.
        score_threshold, nms_threshold, class_agnostic, votes: see `choose_detections`.
        tight: leave out the grey beside the images, see `letterbox`; the backend must take inputs of any size.
        tiling: how images larger than the input are cut; None reduces them.
    """

    backend: Backend
    class_names: tuple[str, ...]
    test_size: tuple[int, int]
    score_threshold: float
    nms_threshold: float
    _: KW_ONLY
    class_agnostic: bool = False
    votes: bool = False
    tight: bool = False
    tiling: Tiling | None = None

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """The objects on each image, best score first.

        Args:
            images: BGR (H, W, 3) each; sizes may differ.

        Returns:
            One `Detections` an image, in that image's pixels; a box may reach beyond the image, as in YOLOX.

        Raises:
            UserError: an image so narrow that nothing of it is left at this input size.
        """
        if self.tiling is not None:
            return predict_tiled(self._predict_whole, images, self.tiling)
        return self._predict_whole(images)

    def _predict_whole(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        if not images:
            return []
        sizes_hw = [(image.shape[0], image.shape[1]) for image in images]
        return self.postprocess(self.network(self.preprocess(images)), sizes_hw)

    def preprocess(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """The letterboxed batch (B, h, w, 3), BGR; see `letterbox`."""
        return letterbox(images, self.test_size, self.tight)

    def network(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The candidates (n, 6 + classes) of a batch (B, h, w, 3); see `Backend`."""
        return self.backend.candidates(batch, self.score_threshold)

    def postprocess(self, candidates: NDArray[np.float32], sizes_hw: Sequence[tuple[int, int]]) -> list[Detections]:
        """Thresholds, NMS, and boxes back in the original images' pixels.

        Args:
            candidates: (n, 6 + classes) as `network` returns them.
            sizes_hw: height and width of the B original images.
        """
        ratios = [letterbox_ratio(size_hw, self.test_size) for size_hw in sizes_hw]
        return choose_detections(
            candidates,
            ratios,
            self.score_threshold,
            self.nms_threshold,
            self.class_agnostic,
            self.class_names,
            self.votes,
        )
