import numpy as np
import pytest

from yolox_gssam.research.pictures.layout import PANEL_WIDTH, fit_panel, grid, mark_box, zoom, zoom_window


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((300, 200, 320, 210), id="middle"),
        pytest.param((0, 0, 12, 12), id="corner"),
        pytest.param((630, 500, 650, 520), id="beyond-the-corner"),
        pytest.param((0, 0, 640, 512), id="all"),
    ],
)
def test_a_zoom_stays_in_the_image_and_has_its_shape(box: tuple[float, ...]) -> None:
    left, top, right, bottom = zoom_window(np.array(box, np.float32), (512, 640))
    assert 0 <= left < right <= 640
    assert 0 <= top < bottom <= 512
    assert (right - left) / (bottom - top) == pytest.approx(640 / 512, rel=0.03)
    assert left <= box[0]
    assert top <= box[1]
    assert right >= min(box[2], 640)
    assert bottom >= min(box[3], 512)


def test_a_zoom_shows_the_window_and_marks_the_box() -> None:
    picture = np.zeros((512, 640, 3), np.uint8)
    picture[200:210, 300:320] = (0, 0, 250)
    box = np.array([300, 200, 320, 210], np.float32)
    window = zoom_window(box, (512, 640))
    shown = zoom(picture, box)
    assert shown.shape == fit_panel(picture).shape == (320, PANEL_WIDTH, 3)
    red = (shown[..., 2] > 125) & (shown[..., 1] < 125)
    scale = PANEL_WIDTH / (window[2] - window[0])
    assert red.sum() == pytest.approx(20 * 10 * scale**2, rel=0.1)
    rows, columns = np.nonzero((shown == 255).all(axis=2))
    assert (columns.min(), columns.max()) == pytest.approx(
        ((300 - window[0]) * scale - 2, (320 - window[0]) * scale + 2), abs=1
    )
    assert (rows.min(), rows.max()) == pytest.approx(
        ((200 - window[1]) * scale - 2, (210 - window[1]) * scale + 2), abs=1
    )


def test_marking_leaves_the_picture_alone() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    assert mark_box(picture, np.array([5, 5, 9, 9])).any()
    assert not picture.any()


def test_rows_of_a_grid_may_differ_in_length() -> None:
    panel = np.full((10, 30, 3), 200, np.uint8)
    picture = grid([[panel], [panel, panel]], "a heading much longer than the picture")
    assert picture.shape[1] == 2 * 34
    assert (picture[-4 - 10 : -4, 34:64] == 200).all()
