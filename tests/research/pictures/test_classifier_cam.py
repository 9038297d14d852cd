from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from yolox_gssam.classification.data import LabelledImages
from yolox_gssam.classification.networks import Classifier
from yolox_gssam.research.pictures.classifier_cam import TrainedClassifier, read_square, right_by_all


class Redness(nn.Module):
    """Logits: 0, and how much more red than blue there is in the mean."""

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(2, 3))
        return torch.stack((torch.zeros(len(x)), means[:, 0] - means[:, 2]), dim=1)


def by_redness(sign: float = 1.0) -> TrainedClassifier:
    stage = nn.Conv2d(3, 3, 1, bias=False)
    nn.init.eye_(stage.weight.data[:, :, 0, 0])
    stage.weight.data *= sign
    return TrainedClassifier("red", Classifier([stage], [nn.Identity()], Redness()).eval(), ["blue", "red"], 32)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A blue one with a red corner, a red one with a blue corner, both wider than high."""
    root = tmp_path_factory.mktemp("images")
    for name, most, corner in (("blue", (200, 0, 0), (0, 0, 200)), ("red", (0, 0, 200), (200, 0, 0))):
        (root / "test" / name).mkdir(parents=True)
        image = np.full((32, 48, 3), most, np.uint8)
        image[:8, 8:16] = corner  # at the left upper corner of the middle
        cv2.imwrite(str(root / "test" / name / "0.png"), image)
    return root


def test_images_are_cut_as_in_validation(images: Path) -> None:
    labelled = LabelledImages(images, "test", 20)
    for index, (path, _) in enumerate(labelled.folder.imgs):
        assert torch.equal(read_square(Path(path), 20), labelled[0, index][0])


def test_the_cam_lies_on_what_speaks_for_the_class(images: Path) -> None:
    classifier = by_redness()
    image = classifier.input(images / "test" / "red" / "0.png")
    label, probability = classifier.answer(image)
    assert label == 1
    assert 0.5 < probability < 1
    cam = classifier.cam(image, label, -1)
    assert cam.shape == (32, 32)
    assert cam[:8, :8].max() == 0
    assert cam[8:].min() == pytest.approx(1, abs=1e-5)


def test_the_cam_of_an_earlier_stage(images: Path) -> None:
    """The last stage here is a single pixel, whose Grad-CAM says nothing of the place."""
    plain = by_redness()
    stages = [*plain.model.stages, nn.AdaptiveAvgPool2d(1)]
    model = Classifier(stages, [nn.Identity(), nn.Identity()], Redness()).eval()
    image = plain.input(images / "test" / "red" / "0.png")
    two = TrainedClassifier("two", model, plain.class_names, 32)
    np.testing.assert_allclose(two.cam(image, 1, 0), plain.cam(image, 1, -1), atol=1e-6)
    assert np.ptp(two.cam(image, 1, -1)) == 0


def test_only_what_all_get_right_is_shown(images: Path) -> None:
    both = [(images / "test" / name / "0.png", label) for label, name in enumerate(("blue", "red"))]
    assert right_by_all([by_redness()], both, 5) == both
    assert right_by_all([by_redness()], both, 1) == both[:1]
    assert right_by_all([by_redness(), by_redness(-1)], both, 5) == []
    wrong = [(both[0][0], 1), both[1]]
    assert right_by_all([by_redness()], wrong, 5) == both[1:]
