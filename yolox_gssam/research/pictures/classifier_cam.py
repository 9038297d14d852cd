"""Grad-CAM of classifiers in the layout of the GSSAM paper's Fig. 13: one row per image, one column per network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yolox_gssam.classification.data import middle_square, normalised, read_rgb
from yolox_gssam.classification.networks import Classifier, load_classifier
from yolox_gssam.common.errors import UserError
from yolox_gssam.inference.overlay import overlay, titled
from yolox_gssam.research.pictures.gradcam import grad_cam
from yolox_gssam.research.pictures.layout import fit_panel


@dataclass(frozen=True, eq=False)
class TrainedClassifier:
    """A classifier of a checkpoint, in evaluation mode.

    Attributes:
        name: network and attention.
        class_names: in label order.
        image_size: side S of the input in pixels.
    """

    name: str
    model: Classifier
    class_names: list[str]
    image_size: int

    def input(self, path: Path) -> Tensor:
        """The image as the network was validated with it, (1, 3, S, S)."""
        device = next(self.model.parameters()).device
        return normalised(read_square(path, self.image_size)[None], device)

    def answer(self, image: Tensor) -> tuple[int, float]:
        """The most probable class of an `input`, and its probability."""
        with torch.no_grad():
            probability, label = self.model(image)[0].softmax(dim=0).max(dim=0)
        return int(label), float(probability)

    def cam(self, image: Tensor, label: int, stage: int) -> NDArray[np.float32]:
        """Grad-CAM of a class's logit by the features of a stage (index), after their attention: (S, S) in [0, 1]."""
        return grad_cam(self.model, self.model.attention[stage], image, lambda logits: logits[label])


def load_classifiers(checkpoints: Sequence[str], device: torch.device) -> list[TrainedClassifier]:
    """Those of the checkpoints, in their order.

    Raises:
        UserError: no such checkpoint, or networks of different classes.
    """
    classifiers: list[TrainedClassifier] = []
    for checkpoint in checkpoints:
        model, info = load_classifier(checkpoint, device)
        name = info["network"] + ("" if info["attention"] == "none" else f" + {info['attention']}")
        classifiers.append(TrainedClassifier(name, model, list(info["class_names"]), int(info["image_size"])))
        if classifiers[-1].class_names != classifiers[0].class_names:
            raise UserError(
                f"{checkpoint}: knows other classes than {checkpoints[0]}; give networks trained on one data set"
            )
    return classifiers


def right_by_all(
    classifiers: Sequence[TrainedClassifier], images: Iterable[tuple[Path, int]], count: int
) -> list[tuple[Path, int]]:
    """The first `count` of the images (path, true label) that every network gets right."""
    chosen: list[tuple[Path, int]] = []
    for path, label in images:
        if all(classifier.answer(classifier.input(path))[0] == label for classifier in classifiers):
            chosen.append((path, label))
        if len(chosen) == count:
            break
    return chosen


def classifier_row(
    classifiers: Sequence[TrainedClassifier], path: Path, title: str, stage: int
) -> list[NDArray[np.uint8]]:
    """The image under its title, then each network's Grad-CAM over it, with what the network takes it for."""
    image = np.ascontiguousarray(read_square(path, classifiers[0].image_size).permute(1, 2, 0).numpy()[:, :, ::-1])
    row = [titled(fit_panel(image), title)]
    for classifier in classifiers:
        own = classifier.input(path)
        label, probability = classifier.answer(own)
        text = f"{classifier.name}: {classifier.class_names[label]} {probability:.0%}"
        row.append(titled(overlay(fit_panel(image), classifier.cam(own, label, stage)), text))
    return row


def read_square(path: Path, side: int) -> Tensor:
    """The middle of an image, (3, side, side) uint8 RGB: what `LabelledImages` gives for validation."""
    square: Tensor = middle_square(side)(read_rgb(str(path)))
    return square
