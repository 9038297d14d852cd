import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.research.pictures.energy import Share, energy_table, mean_energy, share_inside

QUARTERS = np.array([[1, 2], [3, 4]], np.float32)


def boxes(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize(
    ("values", "boxes_xyxy", "extent_wh", "inside", "inside_raw", "area"),
    [
        pytest.param(QUARTERS, boxes((0, 0, 1, 2)), (2, 2), 2 / 6, 4 / 10, 0.5, id="left-half"),
        pytest.param(QUARTERS, boxes((0, 0, 2, 2)), (2, 2), 1, 1, 1, id="everything"),
        pytest.param(QUARTERS, boxes(), (2, 2), 0, 0, 0, id="no-box"),
        pytest.param(QUARTERS, boxes((2, 0, 3, 2)), (2, 2), 0, 0, 0, id="box-beside-the-image"),
        pytest.param(QUARTERS, boxes((-5, -5, 1, 9)), (2, 2), 2 / 6, 4 / 10, 0.5, id="box-beyond-the-image"),
        pytest.param(QUARTERS, boxes((0, 0, 1, 2), (0, 0, 2, 1)), (2, 2), 3 / 6, 6 / 10, 0.75, id="overlap-once"),
        pytest.param(QUARTERS, boxes((0, 0, 1, 2), (0, 0, 1, 2)), (2, 2), 2 / 6, 4 / 10, 0.5, id="same-box-twice"),
        pytest.param(
            np.array([[1, 3]], np.float32), boxes((0.5, 0, 1.25, 1)), (2, 1), 0.25, 1.25 / 4, 0.375, id="parts-of-cells"
        ),
        pytest.param(
            np.array([[1, 2], [9, 9]], np.float32), boxes((1, 0, 2, 2)), (1.5, 1), 1, 0.5, 1 / 3, id="padding-left-out"
        ),
    ],
)
def test_share_of_hand_made_maps(
    values: NDArray[np.float32],
    boxes_xyxy: NDArray[np.float32],
    extent_wh: tuple[float, float],
    inside: float,
    inside_raw: float,
    area: float,
) -> None:
    share = share_inside(values, boxes_xyxy, extent_wh)
    assert (share.inside, share.inside_raw, share.area) == pytest.approx((inside, inside_raw, area), abs=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.5], ids=["zero", "half"])
def test_a_flat_map_has_what_chance_has(value: float) -> None:
    share = share_inside(np.full((4, 5), value, np.float32), boxes((0, 0, 2, 3)), (5, 4))
    assert share == Share(inside=pytest.approx(0.3), inside_raw=pytest.approx(0.3), area=pytest.approx(0.3))


@pytest.mark.parametrize("seed", range(5))
def test_share_agrees_with_counting_small_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((6, 7), np.float32)
    edges = rng.integers(0, 8 * 7, (3, 2, 2))  # eighths of a cell
    low, high = np.sort(edges, axis=1).swapaxes(0, 1)
    boxes_xyxy = np.hstack((low, high)) / 8
    fine = np.kron(values, np.ones((8, 8)))[: 8 * 5]  # the sixth row is padding
    covered = np.zeros(fine.shape, bool)
    for left, top, right, bottom in np.hstack((low, high)):
        covered[top:bottom, left:right] = True
    share = share_inside(values, boxes_xyxy, (7, 5))
    assert share.area == pytest.approx(covered.mean(), abs=1e-9)
    assert share.inside_raw == pytest.approx(fine[covered].sum() / fine.sum(), abs=1e-9)
    fine -= fine.min()
    assert share.inside == pytest.approx(fine[covered].sum() / fine.sum(), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "extent_wh"),
    [
        pytest.param(-QUARTERS, (2, 2), id="negative"),
        pytest.param(QUARTERS, (2.1, 2), id="too-wide"),
        pytest.param(QUARTERS, (2, 0), id="no-height"),
    ],
)
def test_what_cannot_be_measured_is_refused(values: NDArray[np.float32], extent_wh: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="a map of 2 x 2 cells"):
        share_inside(values, boxes((0, 0, 1, 1)), extent_wh)


def test_mean_and_ratio_of_a_set() -> None:
    shares = [Share(0.2, 0.1, 0.1), Share(0.4, 0.3, 0.1), Share(0.1, 0.1, 0.1)]
    row = mean_energy("net", "stem", shares, ["a", "a", "b"])
    assert (row.images, row.clips) == (3, 2)
    assert (row.inside, row.area) == pytest.approx((0.7 / 3, 0.1))
    assert (row.times_chance, row.times_chance_raw) == pytest.approx((0.7 / 0.3, 0.5 / 0.3))
    # Every resample holds clip a twice, b twice, or one of each.
    assert row.times_chance_low == pytest.approx(1)
    assert row.times_chance_high == pytest.approx(3)
    assert row == mean_energy("net", "stem", shares, ["a", "a", "b"]), "the same draw for the same seed"


def test_the_error_is_that_of_a_mean() -> None:
    inside = np.random.default_rng(0).random(200)
    row = mean_energy("net", "stem", [Share(x, x, 0.1) for x in inside], [str(number) for number in range(200)])
    assert row.inside_error == pytest.approx(inside.std() / np.sqrt(200), rel=0.08)
    assert row.times_chance_low is not None
    assert row.times_chance_high is not None
    half_width = 1.96 * inside.std() / np.sqrt(200) / 0.1
    assert row.times_chance_high - row.times_chance_low == pytest.approx(2 * half_width, rel=0.12)


def test_one_clip_tells_no_spread() -> None:
    row = mean_energy("net", "stem", [Share(0.2, 0.1, 0.1)] * 3, ["a"] * 3)
    assert (row.inside_error, row.times_chance_low, row.times_chance_high) == (None, None, None)
    last = energy_table([row]).splitlines()[-1].split()
    assert last == ["net", "stem", "3", "1", "20.00", "10.00", "2.00", "-", "1.00"]
