import numpy as np
import pytest

from yolox_gssam.data.refinement.clip import MEASURED, Refined
from yolox_gssam.data.refinement.packed import LooseBoxes
from yolox_gssam.data.refinement.quality import box_iou, measure_quality


def test_iou_of_known_boxes() -> None:
    first = np.array([[0.0, 0, 4, 4], [0, 0, 2, 2], [0, 0, 1, 1]])
    second = np.array([[0.0, 0, 4, 4], [1, 0, 3, 2], [5, 5, 6, 6]])
    np.testing.assert_allclose(box_iou(first, second), [1, 1 / 3, 0])


@pytest.mark.parametrize(("noise", "least", "most"), [(0.0, 1.0, 1.0), (1.5, 0.0, 0.9)])
def test_constant_margins_can_be_guessed_and_varying_ones_cannot(noise: float, least: float, most: float) -> None:
    rng = np.random.default_rng(0)
    number = np.arange(200)
    tight = np.stack([number, number, number + 6.0, number + 6.0], axis=1)
    margins = 5 + noise * rng.uniform(-2, 2, (200, 4))
    loose = np.concatenate([tight[:, :2] - margins[:, :2], 6 + margins[:, :2] + margins[:, 2:]], axis=1)
    labels = LooseBoxes(loose, number, np.zeros_like(number))
    quality = measure_quality([(labels, Refined(tight, np.full(200, MEASURED, np.uint8)))], 1.0)
    assert least <= quality.over_75[0] <= most
    assert quality.over_75[1] == 1
    assert quality.jitter[1] == 0
    assert quality.ratio == pytest.approx(16 / 6, rel=0.05)
