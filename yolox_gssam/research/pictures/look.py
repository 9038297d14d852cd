"""What a detector finds on an image and where it looks: Grad-CAM of each detection, and the attention maps."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from yolox.models import YOLOX

from yolox_gssam.common.letterbox import letterbox, letterbox_ratio
from yolox_gssam.detections import Detections
from yolox_gssam.inference.nms import choose_detections
from yolox_gssam.inference.overlay import map_on_image
from yolox_gssam.models.inference import choose_candidates
from yolox_gssam.models.neck import level_layers
from yolox_gssam.models.yolox import attention_maps
from yolox_gssam.research.pictures.gradcam import grad_cam

# Keeps the logit of a probability that float32 rounds to 1 finite.
_SURE = 1e-7


@dataclass(frozen=True, eq=False)
class Look:
    """A detector in front of one image.

    Attributes:
        model: in evaluation mode.
        image: BGR (H, W, 3).
        test_size: height and width of the network's input.
        score_threshold: least score of a detection.
        nms_threshold: greatest IoU of two detections, whatever their classes.
    """

    model: YOLOX
    image: NDArray[np.uint8]
    test_size: tuple[int, int]
    score_threshold: float
    nms_threshold: float

    @cached_property
    def input(self) -> Tensor:
        """The letterboxed image, (1, 3, h, w) float32."""
        batch = torch.from_numpy(letterbox([self.image], self.test_size)).permute(0, 3, 1, 2).float()
        return batch.to(next(self.model.parameters()).device)

    @cached_property
    def ratio(self) -> float:
        """The factor from the image's pixels to the input's."""
        return letterbox_ratio(self.image.shape[:2], self.test_size)

    @cached_property
    def outputs(self) -> Tensor:
        """(1, A, 5 + classes), as YOLOX gives them out, in pixels of the input."""
        with torch.no_grad():
            outputs: Tensor = self.model(self.input)
        return outputs

    @cached_property
    def detections(self) -> Detections:
        """Best score first, in pixels of the image."""
        candidates = choose_candidates(self.outputs, self.score_threshold).cpu().numpy()
        (found,) = choose_detections(candidates, [self.ratio], self.score_threshold, self.nms_threshold, True)
        return found

    def attention(self) -> dict[str, NDArray[np.float32]]:
        """Stage -> (h / s, w / s) over the input, the padding too; empty where the network has no maps."""
        maps = attention_maps(self.model, self.input)
        return {stage: values[0, 0].float().cpu().numpy() for stage, values in maps.items()}

    def grad_cam(self, number: int) -> NDArray[np.float32]:
        """Grad-CAM of detection `number`, (h, w) over the input, in [0, 1].

        What is explained is the logit of its objectness plus that of its class, at the one anchor that gave the box; by
        the features of the neck's level that the anchor belongs to.
        """
        box = torch.from_numpy(self.detections.boxes_xyxy[number] * self.ratio)
        anchor = nearest_anchor(self.outputs[0], box.to(self.outputs.device))
        column = 5 + int(self.detections.labels[number])

        def evidence(outputs: Tensor) -> Tensor:
            return torch.logit(outputs[anchor, [4, column]], eps=_SURE).sum()

        layers = level_layers(self.model)
        return grad_cam(self.model, layers[stride_of(anchor, self.test_size, layers)], self.input, evidence)

    def on_image(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The part of a map over the input that lies on the image, one value per input pixel."""
        return map_on_image(values, (self.image.shape[0], self.image.shape[1]), self.test_size)


def nearest_anchor(outputs: Tensor, box_xyxy: Tensor) -> int:
    """Which row of (A, 5 + classes), YOLOX's outputs of one image, has this box (4,), in pixels of the input."""
    halves = outputs[:, 2:4] / 2
    boxes = torch.cat((outputs[:, :2] - halves, outputs[:, :2] + halves), dim=1)
    distances = (boxes - box_xyxy).abs().amax(dim=1)
    return int(distances.nan_to_num(nan=torch.inf).argmin())  # argmin takes NaN, a diverged network's, for the smallest


def stride_of(anchor: int, size_hw: tuple[int, int], strides: Iterable[int]) -> int:
    """The stride of the level that an anchor belongs to, of all levels' strides in the order of the anchors.

    Raises:
        ValueError: an input of this size has no such anchor.
    """
    end = 0
    for stride in strides:
        end += (size_hw[0] // stride) * (size_hw[1] // stride)
        if anchor < end:
            return stride
    raise ValueError(f"an input of {size_hw} has {end} anchors; there is no anchor {anchor}")
