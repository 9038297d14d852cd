"""What is pasted lies where its box says, is blended in, and is a function of the generator alone."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.cutouts.bank import Cutout, CutoutBank
from yolox_gssam.data.cutouts.paste import Paster, PasteRule

CLASSES = ("bird", "drone")
ALWAYS = PasteRule(prob=1.0, target_share=1.0, patch_share=0.0, most=1)
NO_BOXES, NO_LABELS = np.zeros((0, 4)), np.zeros(0, np.int64)


def bank() -> CutoutBank:
    """Dark squares and crosses."""
    square = np.zeros((30, 30, 4), np.uint8)
    square[2:28, 2:28] = (20, 20, 20, 255)
    return CutoutBank([Cutout(square, "drone", "a"), Cutout(square.copy(), "kite", "a")], {"a": "CC0"})


def sky(seed: int = 0, noise: float = 2.0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal((210, 190, 170), noise, (128, 160, 3)), 0, 255).astype(np.uint8)


def pasted(
    rule: PasteRule, seed: int, image: NDArray[np.uint8] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.int64]]:
    image = sky() if image is None else image
    return Paster(bank(), CLASSES, rule).paste(image, NO_BOXES, NO_LABELS, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(12))
def test_the_box_is_where_the_image_changed(seed: int) -> None:
    before = sky()
    image, boxes, labels = pasted(replace(ALWAYS, padding=0.0, sides=(20.0, 40.0)), seed)
    changed = np.abs(image.astype(int) - before).max(axis=2) > 40
    if not len(boxes):  # haze hid it
        assert not changed.any()
        return
    assert labels.tolist() == [CLASSES.index("drone")]
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(boxes[0], seen, atol=3)


def test_the_longer_side_lies_in_the_range() -> None:
    sides = []
    for seed in range(60):
        _, boxes, _ = pasted(replace(ALWAYS, padding=0.0, sides=(8.0, 16.0)), seed)
        sides += (boxes[:, 2:] - boxes[:, :2]).max(axis=1).tolist()
    assert len(sides) > 40
    # turned by at most 15 degrees, with soft edges
    assert min(sides) >= 5
    assert max(sides) <= 16 * 1.3 + 3


def test_the_same_generator_pastes_the_same() -> None:
    rule = PasteRule(prob=1.0)
    first, again, other = pasted(rule, 1), pasted(rule, 1), pasted(rule, 2)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first[0] != other[0]).any()


def test_the_image_given_stays_as_it_is() -> None:
    image = sky()
    pasted(ALWAYS, 0, image)
    np.testing.assert_array_equal(image, sky())


def test_objects_of_other_kinds_have_no_box() -> None:
    for seed in range(8):
        image, boxes, labels = pasted(replace(ALWAYS, target_share=0.0), seed)
        assert len(boxes) == len(labels) == 0
        assert (image != sky()).any()


def test_patches_alone_change_little_of_an_even_sky() -> None:
    """A seam without anything in it: what is pasted is the sky itself."""
    image, boxes, _ = pasted(replace(ALWAYS, target_share=0.0, patch_share=1.0), 3)
    assert len(boxes) == 0
    assert np.abs(image.astype(int) - sky()).mean() < 3


def test_pasted_objects_keep_off_true_ones() -> None:
    true = np.array([[0.0, 0.0, 160.0, 64.0]])
    paster = Paster(bank(), CLASSES, replace(ALWAYS, most=3))
    for seed in range(20):
        _, boxes, labels = paster.paste(sky(), true, np.zeros(1, np.int64), np.random.default_rng(seed))
        np.testing.assert_array_equal(boxes[0], true[0])
        assert labels[0] == 0
        assert (boxes[1:, 1] >= 64).all()


def test_grey_images_stay_grey_and_get_warmer() -> None:
    grey = np.repeat(sky()[..., :1] // 3, 3, axis=2)
    seen = 0
    for seed in range(8):
        image, boxes, _ = pasted(replace(ALWAYS, padding=0.0), seed, grey)
        assert (image[..., :1] == image).all()
        for left, top, right, bottom in boxes.astype(int).tolist():
            seen += 1
            assert image[top:bottom, left:right].mean() > grey[top:bottom, left:right].mean() + 5
    assert seen


def test_nothing_is_pasted_without_chance_or_room() -> None:
    for rule, image in ((replace(ALWAYS, prob=0.0), sky()), (replace(ALWAYS, sides=(30.0, 40.0)), sky()[:16, :16])):
        after, boxes, _ = pasted(rule, 0, image)
        np.testing.assert_array_equal(after, image)
        assert not len(boxes)


@pytest.mark.parametrize(
    "classes", [pytest.param(("bird",), id="no such class"), pytest.param(("drone",), id="nothing else in the bank")]
)
def test_a_bank_needs_drones_and_others(classes: tuple[str, ...]) -> None:
    own = CutoutBank([bank().cutouts[0]], {"a": "CC0"}) if classes == ("drone",) else bank()
    with pytest.raises(UserError, match="pasting needs cut-outs"):
        Paster(own, classes, PasteRule())


def test_what_its_background_hides_is_not_pasted() -> None:
    rng = np.random.default_rng(3)
    # branches: as dark as the drones where they are, and bright between them
    clutter = np.repeat(rng.choice([20, 220], (128, 160, 1)), 3, axis=2).astype(np.uint8)
    for seed in range(12):
        image, boxes, _ = pasted(replace(ALWAYS, sides=(20.0, 40.0)), seed, clutter)
        assert not len(boxes)
        np.testing.assert_array_equal(image, clutter)
