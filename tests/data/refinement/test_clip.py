from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.data.refinement.clip import WAYS, padded_xywh, refine_clip
from yolox_gssam.data.refinement.find_tracks import find_tracks

FRAMES = 30


class Film:
    """A bright object of 6 x 4 pixels that moves over a noisy sky, and loose boxes around it.

    In the frames `lost` it is not to be seen.
    """

    def __init__(self, lost: tuple[int, ...] = (), trail: bool = False) -> None:
        rng = np.random.default_rng(1)
        number = np.arange(FRAMES)
        self.boxes_xyxy = np.stack([20 + 2 * number, 30 + number, 26 + 2 * number, 34 + number], axis=1).astype(float)
        middle = (
            (self.boxes_xyxy[:, :2] + self.boxes_xyxy[:, 2:]) / 2
            + np.array([1.5, -1])
            + rng.normal(0, 0.5, (FRAMES, 2))
        )
        side = np.array([18, 12]) + rng.normal(0, 0.7, (FRAMES, 2))
        self.loose_xywh = np.concatenate([middle - side / 2, side], axis=1)
        self.images = rng.normal(90, 1.5, (FRAMES, 96, 128))
        for index, (left, top, right, bottom) in enumerate(self.boxes_xyxy.astype(int)):
            if index not in lost:
                self.images[index, top:bottom, 0 if trail else left : 128 if trail else right] += 80

    def frames(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        yield from enumerate(self.images.round().astype(np.uint8))

    def refine(self) -> tuple[NDArray[np.float64], list[str]]:
        number = np.arange(FRAMES)
        refined = refine_clip(self.frames(), self.loose_xywh, number, np.zeros_like(number))
        return refined.boxes_xyxy, [WAYS[way] for way in refined.way]


def test_measures_every_frame() -> None:
    film = Film()
    boxes, ways = film.refine()
    assert set(ways) == {"measured"}
    np.testing.assert_allclose(boxes, film.boxes_xyxy, atol=1)


def test_carries_over_frames_in_which_the_object_is_lost() -> None:
    lost = (0, 12, 13, 14, 29)
    film = Film(lost)
    boxes, ways = film.refine()
    assert [index for index, way in enumerate(ways) if way == "carried"] == list(lost)
    np.testing.assert_allclose(boxes, film.boxes_xyxy, atol=2.5)  # the loose boxes jitter by half a pixel


def test_shrinks_around_the_middle_where_nothing_can_be_measured() -> None:
    film = Film(lost=tuple(range(FRAMES)))
    boxes, ways = film.refine()
    assert set(ways) == {"shrunk"}
    middle = film.loose_xywh[:, :2] + film.loose_xywh[:, 2:] / 2
    np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, middle, atol=1e-6)
    assert ((boxes[:, 2:] - boxes[:, :2]) < 0.6 * film.loose_xywh[:, 2:]).all()


def test_shrinks_by_the_clips_ratio_far_from_the_measured_frames() -> None:
    film = Film(lost=tuple(range(8, FRAMES)))
    boxes, ways = film.refine()
    assert ways == ["measured"] * 8 + ["carried"] * 15 + ["shrunk"] * 7
    np.testing.assert_allclose(boxes[-7:, 2:] - boxes[-7:, :2], np.tile([6, 4], (7, 1)), atol=1.5)


def test_keeps_the_boxes_of_what_reaches_out_of_them() -> None:
    film = Film(trail=True)
    boxes, ways = film.refine()
    assert set(ways) == {"shrunk"}
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], film.loose_xywh[:, 2:])


def test_a_distractor_in_one_frame_is_overruled() -> None:
    film = Film()
    left, top = (film.loose_xywh[15, :2] + 1).astype(int)
    film.images[15, top : top + 3, left : left + 3] += 160
    boxes, _ = film.refine()
    np.testing.assert_allclose(boxes[15], film.boxes_xyxy[15], atol=2)


def test_order_of_the_boxes_stays() -> None:
    """Two objects, of which the second comes first in every other frame."""
    film = Film()
    other = film.loose_xywh + np.array([0, 40, 0, 0])
    rows, expected = [], []
    for index in range(FRAMES):
        pair = [film.loose_xywh[index], other[index]]
        truth = [film.boxes_xyxy[index], film.boxes_xyxy[index] + np.array([0, 40, 0, 40])]
        left, top, right, bottom = truth[1].astype(int)
        film.images[index, top:bottom, left:right] += 80
        step = -1 if index % 2 else 1
        rows += pair[::step]
        expected += truth[::step]
    frame = np.repeat(np.arange(FRAMES), 2)
    inside = np.array(expected)[:, 3] < 92
    refined = refine_clip(film.frames(), np.array(rows), frame, np.zeros_like(frame))
    np.testing.assert_allclose(refined.boxes_xyxy[inside], np.array(expected)[inside], atol=1)


def test_tracks_split_at_long_gaps_and_classes() -> None:
    boxes = np.tile([10.0, 10, 8, 8], (6, 1))
    frame, labels = np.array([0, 0, 1, 1, 40, 41]), np.array([0, 1, 1, 0, 0, 0])
    assert [track.tolist() for track in find_tracks(boxes, frame, labels)] == [[0, 3], [4, 5], [1, 2]]


def test_no_boxes() -> None:
    none = np.zeros(0, np.int64)
    assert refine_clip(iter(()), np.zeros((0, 4)), none, none).boxes_xyxy.shape == (0, 4)


@pytest.mark.parametrize(
    ("size_wh", "expected"),
    [pytest.param(None, [-1, 3, 6, 8], id="free"), pytest.param((8, 10), [0, 3, 5, 7], id="in the image")],
)
def test_padding(size_wh: tuple[int, int] | None, expected: list[float]) -> None:
    assert padded_xywh(np.array([[1.0, 5, 3, 9]]), 2.0, size_wh).tolist() == [expected]
