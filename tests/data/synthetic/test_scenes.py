"""Scenes, measured in the pictures themselves: what changes when the objects are drawn; and records of them."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.builder import EncodedImage
from yolox_gssam.data.synthetic import SYNTHETIC_CLASSES, render_scene, synthetic_records
from yolox_gssam.data.synthetic.backgrounds import GROUNDS, SKIES, TIMES
from yolox_gssam.data.synthetic.camera import photograph
from yolox_gssam.data.synthetic.scenes import Scene, compose_scene

SIZE_HW = (192, 256)
SMALL_HW = (96, 128)
COUNT = 75  # more than a batch of two processes, and not a multiple of their chunks


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [compose_scene(np.random.default_rng((7, index)), SIZE_HW) for index in range(160)]


def traces(scenes: list[Scene], margin: int = 3) -> Iterator[tuple[NDArray[np.float64], int, NDArray[np.float32]]]:
    """Box, label and the change of the picture (3 channels) in the box and `margin` pixels around it."""
    for scene in scenes:
        change = np.pad(scene.image - scene.background.image, ((margin, margin), (margin, margin), (0, 0)))
        for box, label in zip(scene.boxes_xyxy, scene.labels, strict=True):
            x1, y1, x2, y2 = box.astype(int)
            yield box, int(label), change[y1 : y2 + 2 * margin, x1 : x2 + 2 * margin]


def test_same_arguments_same_picture_and_others_another() -> None:
    first, again, next_one, other_seed = (render_scene(*key, SIZE_HW) for key in ((1, 5), (1, 5), (1, 6), (2, 5)))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first[0] != next_one[0]).any()
    assert (first[0] != other_seed[0]).any()


@pytest.mark.parametrize("size_hw", [(64, 64), (100, 333), (512, 640)])
def test_shapes_and_types(size_hw: tuple[int, int]) -> None:
    for index in range(4):
        image, boxes_xyxy, labels = render_scene(0, index, size_hw)
        assert (image.shape, image.dtype) == ((*size_hw, 3), np.uint8)
        assert boxes_xyxy.shape == (len(labels), 4)
        assert (boxes_xyxy >= 0).all()
        assert (boxes_xyxy <= [*size_hw[::-1], *size_hw[::-1]]).all()


@pytest.mark.parametrize(("seed", "size_hw"), [(-1, (320, 320)), (0, (63, 320)), (0, (320, 63))])
def test_what_cannot_be_drawn_is_an_error(seed: int, size_hw: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="must be"):
        render_scene(seed, 0, size_hw)


def test_boxes_are_tight_around_what_is_drawn(scenes: list[Scene]) -> None:
    margin, overlaps = 3, []
    for box, _, change in traces(scenes, margin):
        strength = np.abs(change).max(axis=2)
        rows, columns = np.nonzero(strength >= 0.2 * strength.max())
        width, height = box[2:] - box[:2]
        x1, y1, x2, y2 = (
            columns.min() - margin,
            rows.min() - margin,
            columns.max() + 1 - margin,
            rows.max() + 1 - margin,
        )
        shared = max(min(x2, width) - max(x1, 0), 0) * max(min(y2, height) - max(y1, 0), 0)
        overlaps.append(shared / ((x2 - x1) * (y2 - y1) + width * height - shared))
    assert len(overlaps) > 200
    assert np.median(overlaps) > 0.95
    assert np.percentile(overlaps, 10) > 0.8
    assert min(overlaps) > 0.4  # a part whose colour is the background's


def test_the_objects_are_seen_in_the_photograph_and_only_in_their_boxes(scenes: list[Scene]) -> None:
    for scene in scenes[:40]:
        with_objects = photograph(np.random.default_rng(0), scene.image).astype(int)
        without = photograph(np.random.default_rng(0), scene.background.image).astype(int)
        change = np.abs(with_objects - without).max(axis=2)
        outside = np.ones(SIZE_HW, bool)
        for x1, y1, x2, y2 in scene.boxes_xyxy.astype(int):
            assert change[y1:y2, x1:x2].max() >= 15
            outside[max(y1 - 8, 0) : y2 + 8, max(x1 - 8, 0) : x2 + 8] = False  # 8: a block of JPEG and half of blur
        assert change[outside].mean() < 0.2


def test_sizes(scenes: list[Scene]) -> None:
    sides = np.concatenate([(s.boxes_xyxy[:, 2:] - s.boxes_xyxy[:, :2]).max(axis=1) for s in scenes])
    assert sides.min() >= 6
    assert sides.max() <= 40
    assert (sides < 9).any()
    assert (sides > 36).any()
    assert 0.05 < (sides < 10).mean() < 0.2
    assert 18 < np.median(sides) < 27


def test_objects_do_not_touch(scenes: list[Scene]) -> None:
    for scene in scenes:
        covered = np.zeros(SIZE_HW, int)
        for x1, y1, x2, y2 in scene.boxes_xyxy.astype(int):
            covered[y1:y2, x1:x2] += 1
        assert covered.max() <= 1


def test_classes_are_balanced_and_some_pictures_empty(scenes: list[Scene]) -> None:
    counts = np.bincount(np.concatenate([scene.labels for scene in scenes]), minlength=len(SYNTHETIC_CLASSES))
    assert counts.min() / counts.sum() > 0.5 / len(SYNTHETIC_CLASSES)
    assert {len(scene.labels) for scene in scenes} == {0, 1, 2, 3, 4}


def test_class_names_sorted_and_those_of_the_svanstrom_clips_among_them() -> None:
    assert sorted(SYNTHETIC_CLASSES) == list(SYNTHETIC_CLASSES)
    assert {"airplane", "bird", "drone", "helicopter"} < set(SYNTHETIC_CLASSES)


def test_backgrounds_vary(scenes: list[Scene]) -> None:
    backgrounds = [scene.background for scene in scenes]
    for shown, known in (("time", TIMES), ("sky", SKIES), ("ground", GROUNDS)):
        counts = [sum(getattr(background, shown) == key for background in backgrounds) for key in known]
        assert sum(counts) == len(scenes)
        assert min(counts) > 0.08 * len(scenes), shown
    means = np.array([background.image.mean(axis=(0, 1)) for background in backgrounds])
    assert (means.std(axis=0) > 20).all()
    textures = [np.abs(np.diff(background.image, axis=1)).mean() for background in backgrounds]
    assert np.percentile(textures, 90) > 5 * np.percentile(textures, 10)


def nearest_neighbour_accuracy(features: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Share of objects whose nearest other object has the same label."""
    distances = np.linalg.norm(features[:, None] - features[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float((labels[distances.argmin(axis=1)] == labels).mean())


def test_the_shape_tells_the_class_and_the_colour_does_not(scenes: list[Scene]) -> None:
    shapes, colours, labels = [], [], []
    for box, label, change in traces(scenes, margin=0):
        width, height = box[2:] - box[:2]
        if max(width, height) < 14:
            continue
        strength = np.abs(change).max(axis=2)
        centre = [
            np.average(np.arange(n), weights=strength.sum(axis=1 - axis)) / n for axis, n in enumerate(strength.shape)
        ]
        symmetry = np.abs(strength - strength[:, ::-1]).sum() / strength.sum()
        fill = (strength > 0.4 * strength.max()).mean()
        shapes.append([3 * fill, 1.5 * np.log(width / height), 4 * centre[0], 2 * symmetry])
        colours.append(change.reshape(-1, 3)[strength.argmax()])
        labels.append(label)
    assert nearest_neighbour_accuracy(np.array(shapes), np.array(labels)) > 0.45
    assert nearest_neighbour_accuracy(np.array(colours), np.array(labels)) < 0.32  # by chance 0.2


def content(record: EncodedImage) -> tuple[object, ...]:
    image, data = record
    return image.file_name, image.group, data, image.boxes_xyxy.tolist(), image.labels.tolist()


def test_same_bytes_from_one_and_from_two_processes() -> None:
    alone = [content(record) for record in synthetic_records(COUNT, 3, SMALL_HW, workers=1)]
    together = [content(record) for record in synthetic_records(COUNT, 3, SMALL_HW, workers=2)]
    assert alone == together
    assert len({image for _, _, image, _, _ in alone}) == COUNT


def test_threads_of_opencv_do_not_change_a_picture() -> None:
    threads = cv2.getNumThreads()
    pictures = []
    try:
        for count in (1, 4):
            cv2.setNumThreads(count)
            pictures.append([render_scene(3, index, (320, 320))[0].tobytes() for index in range(6)])
    finally:
        cv2.setNumThreads(threads)
    assert pictures[0] == pictures[1]


def test_a_record_is_its_scene() -> None:
    for index, (record, data) in enumerate(synthetic_records(6, 11, SMALL_HW, workers=1)):
        image, boxes_xyxy, labels = render_scene(11, index, SMALL_HW)
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert (record.height, record.width) == stored.shape[:2] == SMALL_HW
        assert np.abs(stored.astype(int) - image).mean() < 3  # the file is a JPEG
        np.testing.assert_array_equal(record.boxes_xyxy, boxes_xyxy)
        np.testing.assert_array_equal(record.labels, labels)


def test_names_and_groups_are_unique() -> None:
    records = [image for image, _ in synthetic_records(5, 0, SMALL_HW, workers=1)]
    assert len({record.file_name for record in records}) == len({record.group for record in records}) == 5


@pytest.mark.parametrize(
    ("count", "seed", "size_hw", "workers"),
    [
        pytest.param(0, 0, SMALL_HW, 1, id="no images"),
        pytest.param(1, 0, SMALL_HW, 0, id="no workers"),
        pytest.param(1, -1, SMALL_HW, 2, id="negative seed"),
        pytest.param(1, 0, (32, 320), 2, id="too small"),
    ],
)
def test_records_that_cannot_be_drawn(count: int, seed: int, size_hw: tuple[int, int], workers: int) -> None:
    with pytest.raises(UserError, match="must be"):
        next(synthetic_records(count, seed, size_hw, workers))
