import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from yolox.data.data_augment import preproc

from yolox_gssam.inference.overlay import attention_panels, format_range, map_on_image, overlay


def bright_spot(size_hw: tuple[int, int], centre_xy: tuple[int, int]) -> NDArray[np.uint8]:
    image = np.full((*size_hw, 3), 40, np.uint8)
    return np.asarray(cv2.circle(image, centre_xy, 12, (250, 250, 250), -1), np.uint8)


@pytest.mark.parametrize(
    ("size_hw", "input_size"),
    [
        pytest.param((512, 640), (416, 416), id="padded-below"),
        pytest.param((640, 512), (416, 416), id="padded-right"),
        pytest.param((200, 200), (416, 640), id="wide-input"),
    ],
)
@pytest.mark.parametrize("stride", [2, 8])
def test_the_padding_is_cut_off_and_places_stay(
    size_hw: tuple[int, int], input_size: tuple[int, int], stride: int
) -> None:
    # The map is the letterboxed image itself: what is bright there must be bright at the same place of the image.
    image = bright_spot(size_hw, (140, 60))
    letterboxed, _ = preproc(image, input_size)
    values = cv2.resize(
        letterboxed[0] / 255, (input_size[1] // stride, input_size[0] // stride), interpolation=cv2.INTER_AREA
    )
    on_image = map_on_image(np.asarray(values, np.float32), size_hw, input_size)

    ratio = min(input_size[0] / size_hw[0], input_size[1] / size_hw[1])
    assert on_image.shape == (int(size_hw[0] * ratio), int(size_hw[1] * ratio))
    full = cv2.resize(on_image, size_hw[::-1])
    rows, columns = np.nonzero(full > 0.6)
    assert abs(rows.mean() - 60) < 2
    assert abs(columns.mean() - 140) < 2
    assert not np.isclose(on_image, 114 / 255, atol=0.02).all(axis=1).any(), "a padded row is left"


def test_colours_run_from_smallest_to_largest_value() -> None:
    image = np.full((20, 256, 3), 90, np.uint8)
    values = np.tile(np.linspace(0.505, 0.512, 256, dtype=np.float32), (20, 1))
    shown = overlay(image, values)
    ends = cv2.applyColorMap(np.array([[0, 255]], np.uint8), cv2.COLORMAP_INFERNO)[0].astype(float)
    np.testing.assert_allclose(shown[0, 0], 0.45 * 90 + 0.55 * ends[0], atol=1)
    np.testing.assert_allclose(shown[0, 255], 0.45 * 90 + 0.55 * ends[1], atol=1)
    brightness = cv2.cvtColor(shown, cv2.COLOR_BGR2GRAY)[0].astype(int)
    assert (np.diff(brightness) >= -1).all()


@pytest.mark.parametrize("noise", [0.0, 1.2e-7], ids=["exact", "rounding"])
def test_a_flat_map_is_one_colour(noise: float) -> None:
    values = np.full((4, 5), 0.5, np.float32)
    values[1, 2] += noise
    shown = overlay(np.full((20, 30, 3), 90, np.uint8), values)
    assert (shown == shown[0, 0]).all()


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.0, 1.0, ("0.0000", "1.0000")),
        (0.5013, 0.5178, ("0.5013", "0.5178")),
        (0.500001, 0.500009, ("0.5000010", "0.5000090")),
        (0.5, 0.5, ("0.5000000", "0.5000000")),
    ],
)
def test_the_range_has_as_many_digits_as_it_needs(low: float, high: float, texts: tuple[str, str]) -> None:
    assert format_range(low, high) == texts


def test_six_panels_in_two_rows() -> None:
    image = bright_spot((512, 640), (140, 60))
    maps = {name: np.random.default_rng(0).random((52, 52), np.float32) for name in ("stem", "a", "b", "c", "d")}
    panels = attention_panels(image, maps, (416, 416))
    assert panels.shape[1] == 3 * 640
    strip = (panels.shape[0] - 2 * 512) // 2
    assert strip > 0
    np.testing.assert_array_equal(panels[strip : strip + 512, :640], image)


def test_titles_say_the_range() -> None:
    image = np.zeros((100, 400, 3), np.uint8)
    maps = [{"stem": np.linspace(0.2, high, 100, dtype=np.float32).reshape(10, 10)} for high in (0.3, 0.4)]
    first, second = (attention_panels(image, values, (416, 416)) for values in maps)
    # Same colours for another range: only the title tells them apart.
    strip = first.shape[0] - 100
    assert (first[:strip, 400:800] != second[:strip, 400:800]).any()
    assert np.abs(first[strip:].astype(int) - second[strip:]).max() <= 2


@pytest.mark.parametrize(("size_hw", "panel_hw"), [((1080, 1920), (360, 640)), ((50, 30), (50, 30))], ids=str)
def test_panels_fit_a_screen(size_hw: tuple[int, int], panel_hw: tuple[int, int]) -> None:
    panels = attention_panels(np.zeros((*size_hw, 3), np.uint8), {"stem": np.eye(8, dtype=np.float32)}, (416, 416))
    assert panels.shape[1] == 3 * panel_hw[1]
    assert panel_hw[0] < panels.shape[0] < panel_hw[0] + 50
