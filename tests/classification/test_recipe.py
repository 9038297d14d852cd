"""What a classifier is trained with."""

import math
from typing import Any

import pytest

from yolox_gssam.classification.recipe import ClassifierRecipe
from yolox_gssam.common.errors import UserError


def test_cosine_rises_for_an_epoch_and_falls_to_nothing() -> None:
    rate = ClassifierRecipe("resnet50", epochs=5, lr=0.2).learning_rates(10).update_lr
    assert rate(5) == pytest.approx(0.1, rel=1e-4)
    assert rate(10) == pytest.approx(0.2)
    assert rate(30) == pytest.approx(0.1)
    assert rate(49.5) == pytest.approx(0.1 * (1 + math.cos(math.pi * 39.5 / 40)))


def test_a_single_epoch_has_no_warm_up() -> None:
    assert ClassifierRecipe("resnet50", epochs=1, lr=0.2).learning_rates(2).update_lr(0.5) == pytest.approx(
        0.1 * (1 + math.cos(math.pi / 4))
    )


def test_steps_after_half_and_three_quarters() -> None:
    rate = ClassifierRecipe("resnet50", epochs=8, lr=0.2, schedule="step").learning_rates(10).update_lr
    assert [rate(n) for n in (0.5, 39.5, 40.5, 59.5, 60.5, 79.5)] == pytest.approx([0.2, 0.2, 0.02, 0.02, 0.002, 0.002])


def test_options_are_filled_in() -> None:
    stored = ClassifierRecipe("resnet50", "gssam").to_json()["attention_options"]
    assert stored == {
        "pool_size": [8, 8, 4, 2, 1],
        "num_convs": [4, 4, 2, 1, 0],
        "norm": "standardize",
        "embedding": "dual",
    }
    assert ClassifierRecipe("resnet50", "cbam").options == {}
    assert ClassifierRecipe("resnet50", "gssam", {"num_convs": 3}).options == {"num_convs": 3}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"epochs": 0}, "epochs must be at least 1, not 0", id="epochs"),
        pytest.param({"batch_size": -1}, "batch_size must be at least 1", id="batch"),
        pytest.param({"eval_interval": 0}, "eval_interval must be at least 1", id="interval"),
        pytest.param({"image_size": 32}, "at least 64 pixels, not 32", id="size"),
        pytest.param({"lr": math.nan}, "lr must be above 0", id="lr"),
        pytest.param({"weight_decay": -1.0}, "at least 0", id="decay"),
        pytest.param({"seed": -1}, "at least 0", id="seed"),
        pytest.param({"schedule": "linear"}, "schedule must be one of cosine, step", id="schedule"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ClassifierRecipe("resnet50", **values)
