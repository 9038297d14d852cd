"""How often a classifier is right."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import nn

from yolox_gssam.classification.data import EpochBatches, LabelledImages, batches_of, normalised
from yolox_gssam.common.progress import progress_bar


@dataclass(frozen=True)
class ClassifierAccuracy:
    """Accuracy on one split of a data set.

    Attributes:
        class_names: in label order.
        confusion: `confusion[t][p]`, how many images of class t were taken for class p.
        loss: mean cross-entropy.
    """

    class_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    loss: float

    @property
    def images(self) -> int:
        return sum(map(sum, self.confusion))

    @property
    def top1(self) -> float:
        """Share of the images that are right, 0 to 1."""
        return sum(self.confusion[i][i] for i in range(len(self.confusion))) / self.images

    @property
    def recalls(self) -> tuple[float, ...]:
        """Share of each class's images that are right."""
        return tuple(row[label] / sum(row) for label, row in enumerate(self.confusion))

    @property
    def balanced(self) -> float:
        """Mean of the recalls: every class counts the same, however many images it has."""
        return sum(self.recalls) / len(self.recalls)

    def to_json(self) -> dict[str, Any]:
        return {
            "accuracy": self.top1,
            "balanced_accuracy": self.balanced,
            "loss": self.loss,
            "images": self.images,
            "class_names": list(self.class_names),
            "confusion": [list(row) for row in self.confusion],
        }

    def __str__(self) -> str:
        rows = [
            [name, *row, f"{100 * recall:.1f} %"]
            for name, row, recall in zip(self.class_names, self.confusion, self.recalls, strict=True)
        ]
        table = tabulate(rows, headers=["true, taken for", *self.class_names, "right"], disable_numparse=True)
        return (
            f"{table}\n{self.images} images: {100 * self.top1:.2f} % right, mean over the classes "
            f"{100 * self.balanced:.2f} %, loss {self.loss:.4f}"
        )


def evaluate(
    model: nn.Module, images: LabelledImages, batch_size: int, workers: int, device: torch.device
) -> ClassifierAccuracy:
    """Runs the network over every image once, in evaluation mode, and leaves it in the mode it was in."""
    was_training = model.training
    model.eval()
    count = len(images.class_names)
    confusion = torch.zeros(count, count, dtype=torch.int64)
    loss = 0.0
    try:
        with (
            torch.inference_mode(),
            progress_bar(total=len(images), description="evaluation", unit="img", leave=False) as bar,
        ):
            for batch, labels in batches_of(images, EpochBatches(len(images), batch_size), workers):
                logits = model(normalised(batch, device)).float().cpu()
                loss += float(F.cross_entropy(logits, labels, reduction="sum"))
                confusion.view(-1).add_(torch.bincount(labels * count + logits.argmax(1), minlength=count * count))
                bar.update(len(batch))
    finally:
        model.train(was_training)
    return ClassifierAccuracy(tuple(images.class_names), tuple(map(tuple, confusion.tolist())), loss / len(images))
