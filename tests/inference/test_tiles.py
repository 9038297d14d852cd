"""Tiles: what they cover, and that each object has one box, wherever the borders lie."""

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.detections import Detections
from yolox_gssam.inference.tiles import Tiling, merge_tiles, parse_tiling, predict_tiled


def spots(images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
    """Bright areas of an image reduced to 64 x 64, the larger the surer; those of one pixel are missed."""
    found = []
    for image in images:
        ratio = min(64 / image.shape[0], 64 / image.shape[1], 1.0)
        size_wh = round(image.shape[1] * ratio), round(image.shape[0] * ratio)
        grey = cv2.resize(image[..., 0], size_wh, interpolation=cv2.INTER_AREA)
        count, _, areas, _ = cv2.connectedComponentsWithStats((grey > 127).astype(np.uint8))
        rows = [(x, y, x + w, y + h) for x, y, w, h, area in areas[1:count] if area > 1]
        boxes = np.array(rows, np.float32).reshape(-1, 4) / ratio
        scores = [0.5 + min(0.4, (x2 - x1) * (y2 - y1) / 8192) for x1, y1, x2, y2 in rows]
        found.append(Detections(boxes, scores, np.zeros(len(rows), np.int64)))
    return found


@pytest.mark.parametrize("size_hw", [(64, 64), (65, 64), (2160, 3840), (100, 4000), (30, 30)])
def test_every_target_up_to_the_overlap_is_whole_in_a_tile(size_hw: tuple[int, int]) -> None:
    tiling = Tiling((64, 64), overlap_px=16)
    corners = tiling.corners(size_hw)
    for axis in (0, 1):
        starts = sorted({corner[axis] for corner in corners})
        assert starts[0] == 0
        assert starts[-1] + 64 >= size_hw[axis]
        assert starts[-1] + 64 <= max(64, size_hw[axis])
        assert all(after - before <= 48 for before, after in itertools.pairwise(starts))
    assert len(corners) == len(set(corners))


def test_small_targets_are_found_once_wherever_they_lie() -> None:
    """Squares of 8 pixels in steps of 7 across the borders of tiles; the whole frame alone misses them all."""
    tiling = Tiling((64, 64), overlap_px=16)
    for step in range(0, 292, 7):
        frame = np.zeros((300, 600, 3), np.uint8)
        x, y = 2 * step, (step * 5) % 292
        frame[y : y + 8, x : x + 8] = 255
        assert len(spots([frame])[0]) == 0
        (found,) = predict_tiled(spots, [frame], tiling)
        assert found.boxes_xyxy.tolist() == [[x, y, x + 8, y + 8]]


def test_a_target_larger_than_a_tile_is_one_box_and_the_small_one_beside_it_another() -> None:
    frame = np.zeros((400, 400, 3), np.uint8)
    frame[50:250, 50:350] = 255
    frame[300:308, 60:68] = 255
    (found,) = predict_tiled(spots, [frame], Tiling((64, 64), overlap_px=16))
    assert sorted(found.boxes_xyxy.tolist()) == [[50, 50, 350, 250], [60, 300, 68, 308]]


def test_neighbours_are_not_merged() -> None:
    frame = np.zeros((300, 300, 3), np.uint8)
    rng = np.random.default_rng(0)
    corners = [(20 * row, 20 * column) for row in range(14) for column in range(14)]
    truth = []
    for row, column in corners:
        y, x = int(row + rng.integers(0, 8)), int(column + rng.integers(0, 8))
        frame[y : y + 10, x : x + 10] = 255
        truth.append([x, y, x + 10, y + 10])
    (found,) = predict_tiled(spots, [frame], Tiling((64, 64), overlap_px=16))
    assert sorted(found.boxes_xyxy.tolist()) == sorted(truth)


def test_images_of_several_sizes_go_through_together_in_bounded_batches() -> None:
    sizes: list[int] = []

    def predict(images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        sizes.append(len(images))
        return spots(images)

    frames = [np.zeros((64, 64, 3), np.uint8), np.zeros((200, 100, 3), np.uint8), np.zeros((70, 70, 3), np.uint8)]
    for number, frame in enumerate(frames):
        frame[10 : 20 + number, 10:20] = 255
    found = predict_tiled(predict, frames, Tiling((64, 64), overlap_px=16, batch=4))
    assert [detections.boxes_xyxy.tolist() for detections in found] == [
        [[10, 10, 20, 20 + number]] for number in range(2)
    ] + [spots([frames[2]])[0].boxes_xyxy.tolist()]
    # 1, 1 + 4 x 2 and 1 views.
    assert sizes == [4, 4, 3]
    assert predict_tiled(predict, [], Tiling((64, 64))) == []


def test_a_piece_with_a_better_score_does_not_win_over_the_whole() -> None:
    none = Detections.empty()
    piece = Detections([[50, 10, 64, 20]], [0.9], [0])
    complete = Detections([[2 + 2, 10, 24, 20]], [0.4], [1])
    found = merge_tiles(none, [piece, complete], [(0, 0), (0, 46)], (64, 110), (64, 64))
    assert found.boxes_xyxy.tolist() == [[50, 10, 70, 20]]
    assert found.labels.tolist() == [1]


def test_a_small_one_in_front_of_a_large_one_stays() -> None:
    large, small = Detections([[10, 10, 300, 200]], [0.9], [2]), Detections([[20, 20, 28, 28]], [0.5], [0])
    found = merge_tiles(large, [small], [(30, 30)], (600, 600), (64, 64))
    assert found.labels.tolist() == [2, 0]


def test_values_of_the_option() -> None:
    assert parse_tiling("off", (64, 96)) is None
    auto = parse_tiling("auto", (64, 96))
    assert auto is not None
    sizes = ((64, 96), (128, 192), (129, 96), (64, 193))
    assert [auto.cuts(size_hw) for size_hw in sizes] == [False, False, True, True]
    sized = parse_tiling("320", (64, 96))
    assert sized is not None
    assert (sized.size_hw, sized.cuts((321, 100))) == ((320, 320), True)
    for text in ("on", "0", "-3", "31"):
        with pytest.raises(UserError, match="give auto, off"):
            parse_tiling(text, (64, 96))
