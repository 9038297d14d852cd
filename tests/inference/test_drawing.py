import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.detections import Detections
from yolox_gssam.inference.drawing import (
    Style,
    class_colour,
    draw_detections,
    fit_text,
    frame_around,
    place_label,
)
from yolox_gssam.inference.lettering import text_size

NAMES = ("airplane", "bird", "drone", "helicopter")
SKY = 180


def sky(width: int = 640, height: int = 512) -> NDArray[np.uint8]:
    return np.full((height, width, 3), SKY, np.uint8)


def detections(*boxes_xyxy: list[float], label: int = 2) -> Detections:
    count = len(boxes_xyxy)
    return Detections(
        np.array(boxes_xyxy, np.float32), np.full(count, 0.87, np.float32), np.full(count, label, np.int64)
    )


def changed(image: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((image != drawn).any(axis=2))


def overlap(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def test_the_box_runs_around_the_object_and_leaves_it_as_it_is() -> None:
    image = sky()
    drawn = draw_detections(image, detections([300.4, 200.6, 312.2, 209.1]), NAMES)
    difference = changed(image, drawn)
    # Object and gap: untouched, at least two pixels more than the object on every side.
    assert not difference[198:212, 298:315].any()
    # Around them: all four corners and sides in the class's colour.
    style = Style.for_image((512, 640))
    frame = frame_around(np.array([300.4, 200.6, 312.2, 209.1], np.float32), (512, 640), style)
    assert frame is not None
    left, top, right, bottom = frame
    for y, x in ((top + 1, left + 1), (top + 1, right - 2), (bottom - 2, left + 1), (bottom - 2, right - 2)):
        assert tuple(drawn[y, x]) == class_colour(2)
    assert (drawn[top + 1, left + 1 : right - 1] == class_colour(2)).all()
    assert (drawn[top + 1 : bottom - 1, right - 2] == class_colour(2)).all()


def test_the_line_has_a_dark_edge_so_that_any_background_shows_it() -> None:
    for label in range(4):
        background = np.empty((512, 640, 3), np.uint8)
        background[:] = class_colour(label)
        drawn = draw_detections(background, detections([300, 200, 312, 209], label=label), NAMES)
        assert (drawn[changed(background, drawn)] == 0).all(axis=1).sum() > 50


def test_the_image_given_is_not_drawn_on() -> None:
    image = sky()
    draw_detections(image, detections([300, 200, 312, 209]), NAMES)
    assert (image == SKY).all()


def test_no_detections_change_nothing() -> None:
    drawn = draw_detections(sky(), Detections.empty(), NAMES)
    assert (drawn == SKY).all()


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([-8, -6, 5, 4], id="top-left-corner"),
        pytest.param([632, 505, 650, 520], id="bottom-right-corner"),
        pytest.param([630, 3, 639, 9], id="top-right"),
        pytest.param([0, 0, 640, 512], id="whole-image"),
        pytest.param([-100, -100, 900, 900], id="larger-than-the-image"),
        pytest.param([300, 200, 300, 200], id="no-area"),
        pytest.param([0, 250, 3, 253], id="left-edge"),
    ],
)
def test_boxes_at_the_edge_are_drawn_inside(box: list[float]) -> None:
    image = sky()
    drawn = draw_detections(image, detections(box), NAMES)
    assert drawn.shape == image.shape
    coloured = (drawn == class_colour(2)).all(axis=2)
    # Line and label: more than the label alone would have.
    width, height = text_size("drone 87%", Style.for_image((512, 640)).font_size)
    assert coloured.sum() > 0.4 * width * height


@pytest.mark.parametrize("box", [[-30, 5, -10, 9], [650, 5, 660, 9], [5, -40, 9, -1], [5, 512, 9, 530]])
def test_boxes_outside_are_left_out(box: list[float]) -> None:
    assert (draw_detections(sky(), detections(box), NAMES) == SKY).all()


def test_labels_are_inside_and_touch_neither_objects_nor_each_other() -> None:
    rng = np.random.default_rng(5)
    size_hw, style = (512, 640), Style.for_image((512, 640))
    for _ in range(30):
        corners = rng.uniform((0, 0), (600, 480), (7, 2))
        boxes = np.hstack((corners, corners + rng.uniform(8, 40, (7, 2)))).astype(np.float32)
        frames = [frame_around(box, size_hw, style) for box in boxes]
        taken = [frame for frame in frames if frame is not None]
        assert len(taken) == 7
        labels: list[tuple[int, int, int, int]] = []
        for frame in list(taken):
            labels.append(place_label(frame, (80, 18), np.array([*taken, *labels]), size_hw, style))
        for label in labels:
            assert label[0] >= 0
            assert label[1] >= 0
            assert label[2] <= 640
            assert label[3] <= 512
            assert (label[2] - label[0], label[3] - label[1]) == (80, 18)
            assert not any(overlap(label, frame) for frame in taken)
        assert not any(overlap(first, second) for first, second in itertools.combinations(labels, 2))


def test_a_label_without_any_free_place_takes_the_least_covered() -> None:
    style = Style.for_image((512, 640))
    everything = (0, 0, 640, 400)
    place = place_label((300, 380, 330, 400), (80, 18), np.array([everything]), (512, 640), style)
    assert not overlap(place, everything)
    place = place_label((300, 100, 330, 120), (80, 18), np.array([(0, 0, 640, 512)]), (512, 640), style)
    assert place[0] >= 0
    assert place[3] <= 512


def test_sizes_grow_with_the_image() -> None:
    small, large = Style.for_image((512, 640)), Style.for_image((2160, 3840))
    assert large.line_width > 2 * small.line_width
    assert large.font_size > 3 * small.font_size
    assert Style.for_image((40, 60)).line_width == 1


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (20, 15), (33, 200)], ids=str)
def test_tiny_images_do_not_fail(size: tuple[int, int]) -> None:
    image = sky(*size)
    drawn = draw_detections(image, detections([0, 0, size[0], size[1]]), NAMES)
    assert drawn.shape == image.shape


def test_colours_of_seven_classes_differ_also_in_grey() -> None:
    colours = [class_colour(label) for label in range(7)]
    assert len(set(colours)) == 7
    assert class_colour(7) == class_colour(0)
    greys = [0.114 * blue + 0.587 * green + 0.299 * red for blue, green, red in colours[:4]]
    assert min(abs(first - second) for first, second in itertools.combinations(greys, 2)) > 5


@pytest.mark.parametrize(
    ("names", "label"),
    [
        pytest.param(("дрон",), 0, id="cyrillic"),
        pytest.param(("无人机",), 0, id="chinese"),
        pytest.param((), 5, id="none"),
    ],
)
def test_any_name_can_stand_in_a_label(names: tuple[str, ...], label: int) -> None:
    image = sky()
    drawn = draw_detections(image, detections([300, 200, 312, 209], label=label), names)
    assert changed(image, drawn).sum() > 500


def test_long_names_are_shortened_and_keep_the_score() -> None:
    text = fit_text("a very long name of a class that nobody can read 87%", 150, 12)
    assert text.endswith(" 87%")
    assert "…" in text
    assert text_size(text, 12)[0] <= 150
    assert fit_text("drone 87%", 150, 12) == "drone 87%"
