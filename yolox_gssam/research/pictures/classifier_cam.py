"""Grad-CAM of classifiers in the layout of the GSSAM paper's Fig. 13: one row per image, one column per network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2

from yolox_gssam.classification.data import normalised, read_rgb
from yolox_gssam.classification.networks import Classifier, load_classifier
from yolox_gssam.common.errors import UserError
from yolox_gssam.inference.overlay import overlay, titled
from yolox_gssam.research.pictures.gradcam import grad_cam
from yolox_gssam.research.pictures.layout import fit_panel, grid


@dataclass(frozen=True, eq=False)
class Answer:
    """What a classifier says of one image.

    Attributes:
        label: the most probable class.
        probability: of that class.
        cam: Grad-CAM of its logit, (S, S) in [0, 1] over the network's input.
    """

    label: int
    probability: float
    cam: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TrainedClassifier:
    """A classifier of a checkpoint.

    Attributes:
        name: network and attention.
        model: in evaluation mode.
        class_names: in label order.
        image_size: side of the input in pixels.
    """

    name: str
    model: Classifier
    class_names: list[str]
    image_size: int

    def input(self, path: Path) -> Tensor:
        """The image as the network was validated with it, (1, 3, S, S)."""
        device = next(self.model.parameters()).device
        return normalised(read_square(path, self.image_size)[None], device)

    def label_of(self, path: Path) -> int:
        """The most probable class."""
        with torch.no_grad():
            return int(self.model(self.input(path)).argmax())

    def answer(self, path: Path, stage: int = -1) -> Answer:
        """The most probable class, and Grad-CAM of it by the features of a stage (index), after their attention."""
        image = self.input(path)
        with torch.no_grad():
            probabilities = self.model(image)[0].softmax(dim=0)
        label = int(probabilities.argmax())
        cam = grad_cam(self.model, self.model.attention[stage], image, lambda logits: logits[label])
        return Answer(label, float(probabilities[label]), cam)


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
        if all(classifier.label_of(path) == label for classifier in classifiers):
            chosen.append((path, label))
        if len(chosen) == count:
            break
    return chosen


def classifier_row(
    classifiers: Sequence[TrainedClassifier], path: Path, title: str, stage: int = -1
) -> list[NDArray[np.uint8]]:
    """The image under its title, then each network's Grad-CAM over it, with what the network takes it for."""
    image = np.ascontiguousarray(read_square(path, classifiers[0].image_size).permute(1, 2, 0).numpy()[:, :, ::-1])
    row = [titled(fit_panel(image), title)]
    for classifier in classifiers:
        answer = classifier.answer(path, stage)
        text = f"{classifier.name}: {classifier.class_names[answer.label]} {answer.probability:.0%}"
        row.append(titled(overlay(fit_panel(image), answer.cam), text))
    return row


def classifier_picture(rows: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """The rows as one picture (BGR)."""
    return grid(rows, "Grad-CAM of the class that each network takes the image for")


def read_square(path: Path, side: int) -> Tensor:
    """The middle of an image, (3, side, side) uint8 RGB: what `LabelledImages` gives for validation."""
    square: Tensor = v2.Compose([v2.Resize(side, antialias=True), v2.CenterCrop(side)])(read_rgb(str(path)))
    return square
