"""How often a classifier is right."""

import pytest

from yolox_gssam.classification.evaluation import ClassifierAccuracy


def test_numbers_of_a_confusion_matrix() -> None:
    """4 images of a, of which 3 are right, and 2 of b, of which 1 is."""
    accuracy = ClassifierAccuracy(("a", "b"), ((3, 1), (1, 1)), 0.5)
    assert accuracy.images == 6
    assert accuracy.top1 == pytest.approx(4 / 6)
    assert accuracy.recalls == (0.75, 0.5)
    assert accuracy.balanced == 0.625
    assert "6 images: 66.67 % right, mean over the classes 62.50 %" in str(accuracy)
    assert accuracy.to_json()["confusion"] == [[3, 1], [1, 1]]
